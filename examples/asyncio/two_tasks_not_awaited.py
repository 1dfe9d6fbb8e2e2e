import asyncio


async def fetch_data():
    print("start fetching")
    await asyncio.sleep(0.2)
    print("done fetching")
    return {"data": 1}


async def print_numbers():
    for i in range(10):
        print(i)
        await asyncio.sleep(0.625)


async def main():
    fetching = asyncio.create_task(fetch_data())
    printing = asyncio.create_task(print_numbers())


asyncio.run(main())

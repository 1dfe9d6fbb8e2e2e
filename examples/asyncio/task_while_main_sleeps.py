import asyncio


async def foo(text):
    print(text)
    await asyncio.sleep(0.1)


async def main():
    print("shav")
    task = asyncio.create_task(foo("text"))
    await asyncio.sleep(0.2)
    print("finished")


asyncio.run(main())

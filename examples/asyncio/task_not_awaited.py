import asyncio


async def foo(text):
    print(text)
    await asyncio.sleep(0.1)


async def main():
    print("shav")
    task = asyncio.create_task(foo("text"))
    print("finished")


asyncio.run(main())

import asyncio


async def foo(text):
    print(text)
    await asyncio.sleep(1)
    print("not reached")


async def main():
    print("shav")
    task = asyncio.create_task(foo("text"))
    await asyncio.sleep(0.05)
    print("finished")


asyncio.run(main())

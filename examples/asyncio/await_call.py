import asyncio


async def foo(text):
    print(text)
    await asyncio.sleep(0.1)


async def main():
    print("shav")
    await foo("text")
    print("finished")


asyncio.run(main())

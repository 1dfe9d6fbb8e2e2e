import asyncio


async def say_hello():
    print("Hello World!")


asyncio.run(say_hello())

import asyncio
import time


async def say_hello_after(delay):
    await asyncio.sleep(delay)
    print("Hello World!")


async def main():
    await say_hello_after(0.1)
    await say_hello_after(0.2)


print("started at:", time.strftime("%H:%M:%S"))
asyncio.run(main())
print("finished at:", time.strftime("%H:%M:%S"))

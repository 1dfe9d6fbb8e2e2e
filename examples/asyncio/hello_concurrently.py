import asyncio
import time


async def say_hello_after(delay):
    await asyncio.sleep(delay)
    print("Hello World!")


async def main():
    first = asyncio.create_task(say_hello_after(0.1))
    second = asyncio.create_task(say_hello_after(0.2))

    await first
    await second


print("started at:", time.strftime("%H:%M:%S"))
asyncio.run(main())
print("finished at:", time.strftime("%H:%M:%S"))

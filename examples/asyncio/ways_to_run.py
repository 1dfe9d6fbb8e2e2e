import asyncio


async def say_what(delay, what):
    await asyncio.sleep(delay)
    print(what)


async def wait_once():
    print("hello, waiting for 0.3 seconds")
    await asyncio.sleep(0.3)
    print("world")


async def await_tasks():
    first = asyncio.create_task(say_what(0.1, "hello"))
    second = asyncio.create_task(say_what(0.2, "world"))
    await first
    await second


async def use_a_group():
    async with asyncio.TaskGroup() as group:
        print("Before running tasks")
        group.create_task(say_what(0.1, "hello"))
        group.create_task(say_what(0.2, "world"))
        print("After running tasks")


asyncio.run(wait_once())

with asyncio.Runner() as runner:
    runner.run(wait_once())

asyncio.run(await_tasks())
asyncio.run(use_a_group())

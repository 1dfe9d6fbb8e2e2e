import asyncio


async def say_what(delay, what):
    await asyncio.sleep(delay)
    print(what)


async def main():
    async with asyncio.TaskGroup() as group:
        print("Before running tasks")
        group.create_task(say_what(0.1, "hello"))
        group.create_task(say_what(0.2, "world"))
        print("After running tasks")


asyncio.run(main())

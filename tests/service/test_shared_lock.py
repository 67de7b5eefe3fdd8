"""Many together or one alone, in the order in which they came."""

import asyncio

from service.shared_lock import SharedLock


async def scene() -> list[str]:
    lock, said = SharedLock(), []
    leave = asyncio.Event()

    async def together(name: str, until: asyncio.Event) -> None:
        async with lock.together():
            said.append(f"{name} in")
            await until.wait()
            said.append(f"{name} out")

    async def alone() -> None:
        async with lock.alone():
            said.append("alone in")
            await asyncio.sleep(0)
            said.append("alone out")

    at_once = asyncio.Event()
    at_once.set()
    async with asyncio.TaskGroup() as tasks:
        for work in (together("a", leave), together("b", leave), alone(), together("c", at_once)):
            tasks.create_task(work)
            await asyncio.sleep(0.01)
        said.append("leave")
        leave.set()
    return said


def test_order() -> None:
    assert asyncio.run(scene()) == [
        "a in", "b in", "leave", "a out", "b out", "alone in", "alone out", "c in", "c out",
    ]  # fmt: skip


def test_a_failure_inside_lets_the_next_in() -> None:
    async def fail() -> None:
        lock = SharedLock()
        for enter in (lock.together, lock.alone, lock.together):
            try:
                async with asyncio.timeout(1), enter():
                    raise ValueError
            except ValueError:
                continue

    asyncio.run(fail())

"""An agent in a process of its own, to be killed: `python -m tests.lab.agent_process NAME NOTES TIMEOUT_S PROMPT…`.

It asks all prompts at once, notes in a file what becomes of each, and says `{"event": "ready"}` when it has asked.
"""

import asyncio
import json
import sys
from pathlib import Path

from tests.lab.history import Note, NoteFile

from optimizer_client import AsyncOptimizer, OptimizerError


async def ask(client: AsyncOptimizer, note: Note, file: NoteFile) -> None:
    """One request, noted before it is made and after it has ended."""
    file.write(note)
    try:
        reply = await client.chat(note.prompt, timeout=note.timeout_s, request_id=note.id)
    except OptimizerError as error:
        note.failed(error.code, str(error))
    else:
        note.answered(reply.text, reply.backend)
    file.write(note)


async def main(name: str, path: Path, timeout_s: float, prompts: list[str]) -> None:
    """Ask, and wait for every end."""
    file = NoteFile(path)
    async with AsyncOptimizer(name) as client:
        while not client.connected:
            await asyncio.sleep(0.01)
        asked = asyncio.gather(*(ask(client, Note(name, prompt, timeout_s), file) for prompt in prompts))
        await asyncio.sleep(0)
        print(json.dumps({"event": "ready"}), flush=True)
        await asked
    file.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), sys.argv[4:]))

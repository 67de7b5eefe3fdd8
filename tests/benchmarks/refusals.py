"""How quickly a bad or missing key is refused: `python -m tests.benchmarks.refusals [--rounds N]`

Every operation of the OpenAPI, medians in ms of a 401 for no key, a malformed one and a wrong one, beside /livez,
which asks for none.
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated

import httpx
import typer

from tests.support.process import PLAIN, started
from tests.support.tiny_bundle import make_tiny_bundle

KEYS = {"none": None, "malformed": "nonsense", "wrong": "dgrl_00000000_" + "0" * 64}
PUBLIC = {"/livez", "/readyz"}


def main(rounds: Annotated[int, typer.Option(help="requests of each kind")] = 100) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bundle = make_tiny_bundle(Path(folder) / "bundle")
        with (
            started(bundle, Path(folder), settings={**PLAIN, "DGRL_AUTH": "keys"}) as process,
            httpx.Client(base_url=process.url, timeout=60, verify=False) as client,
        ):
            paths = client.get("/openapi.json").raise_for_status().json()["paths"]
            alive = median(client, "GET", "/livez", None, rounds, 200)
            print(f"{'operation':<48} {'none':>9} {'malformed':>9} {'wrong':>9}  (ms; /livez {alive:.2f})")
            worst = 0.0
            for method, path in sorted((m.upper(), p) for p, methods in paths.items() for m in methods):
                if path in PUBLIC:
                    continue
                address = path.replace("{", "").replace("}", "")
                taken = [median(client, method, address, key, rounds, 401) for key in KEYS.values()]
                worst = max(worst, *taken)
                print(f"{method + ' ' + path:<48} " + " ".join(f"{one:9.2f}" for one in taken))
            print(f"slowest median {worst:.2f} ms, {worst / alive:.2f} times /livez")


def median(
    client: httpx.Client, method: str, address: str, key: str | None, rounds: int, status: int
) -> float:
    headers, taken = {"X-API-Key": key} if key else {}, []
    for _ in range(rounds):
        begin = time.perf_counter()
        answer = client.request(method, address, headers=headers)
        taken.append(1000 * (time.perf_counter() - begin))
        if answer.status_code != status:
            raise RuntimeError(f"{method} {address} answered {answer.status_code}, not {status}")
    return statistics.median(taken)


if __name__ == "__main__":
    typer.run(main)

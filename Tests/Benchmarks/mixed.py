# SPDX-License-Identifier: Apache-2.0
"""Everything at once for a long time: warm and cold pulls, tags that move, prunes and collections. Every byte is checked.
Prints the memory of each program as it goes, and fails for an error, or for memory that grows.
"""

import argparse
import collections
import hashlib
import http.client
import json
import os
import pathlib
import random
import shutil
import statistics
import tempfile
import threading
import time

from machine import ACCEPT, Entrepot, Registry, run

PROGRAMS = ["registry-frontend", "upstream-fetcher", "quota-pruner", "garbage-collector"]
QUOTA_MB = 200
LAYER = 4 * 2**20
SAMPLE_S = 10


class Load:
    def __init__(self, upstream, entrepot):
        self.upstream = upstream
        self.entrepot = entrepot
        self.end = threading.Event()
        self.errors = []
        self.counts = collections.Counter()
        self.lock = threading.Lock()
        # Digest of the manifest that each tag has upstream, by image and tag.
        self.heads = {}

    def push(self, name, tag="1"):
        digest, _ = self.upstream.push_image(name, [os.urandom(LAYER), os.urandom(random.randrange(1, LAYER))], tag)
        self.heads[name, tag] = digest

    def get(self, connection, path):
        connection.request("GET", path, headers=dict([ACCEPT.split(": ")]))
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {body[:300]}")
        return body

    def pull(self, connection, name, tag):
        """All of an image, checked against its digests."""
        before = self.heads[name, tag]
        manifest = self.get(connection, f"/v2/hub/{name}/manifests/{tag}")
        digest = "sha256:" + hashlib.sha256(manifest).hexdigest()
        if digest not in (before, self.heads[name, tag]):
            raise RuntimeError(f"{name}:{tag} is {digest}, not {before} as upstream")
        document = json.loads(manifest)
        for part in [document["config"], *document["layers"]]:
            body = self.get(connection, f"/v2/hub/{name}/blobs/{part['digest']}")
            if part["digest"] != "sha256:" + hashlib.sha256(body).hexdigest() or len(body) != part["size"]:
                raise RuntimeError(f"{name}: {part['digest']} has other bytes")

    def work(self, kind, step, pause):
        number = 0
        while not self.end.is_set():
            connection = http.client.HTTPConnection(random.choice(self.entrepot.addresses), timeout=60)
            try:
                step(connection, number)
                with self.lock:
                    self.counts[kind] += 1
            except Exception as error:
                with self.lock:
                    self.errors.append(f"{kind}: {error!r}")
            connection.close()
            number += 1
            self.end.wait(pause)

    def warm(self, connection, _):
        self.pull(connection, f"warm{random.randrange(4)}", "1")

    def cold(self, connection, number):
        self.push(f"cold{number}")
        self.pull(connection, f"cold{number}", "1")

    def moved(self, connection, _):
        self.push("moving", "latest")
        self.pull(connection, "moving", "latest")

    def again(self, connection, _):
        """What may have been pruned since."""
        self.pull(connection, *random.choice(list(self.heads)))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=pathlib.Path, required=True, help="folder of the release programs")
    parser.add_argument("--minutes", type=float, default=30)
    options = parser.parse_args()
    work = pathlib.Path(tempfile.mkdtemp(prefix="entrepot-mixed-"))
    work.chmod(0o755)
    upstream = Registry(work / "upstream")
    entrepot = Entrepot(options.programs.resolve(), work / "entrepot", upstream.address, frontends=2,
                        environment={"ENTREPOT_GC_GRACE": "40s"})
    try:
        run(options.programs / "entrepot", "quota", "set", "hub", f"{QUOTA_MB}MB", "--data", work / "entrepot" / "data")
        load = Load(upstream, entrepot)
        for number in range(4):
            load.push(f"warm{number}")
        load.push("moving", "latest")
        works = [("warm", load.warm, 0.05), ("warm", load.warm, 0.05), ("cold", load.cold, 1.5),
                 ("moved", load.moved, 3), ("again", load.again, 0.5)]
        threads = [threading.Thread(target=load.work, args=work, daemon=True) for work in works]
        for thread in threads:
            thread.start()
        samples = {name: [] for name in PROGRAMS}
        start = time.monotonic()
        while time.monotonic() < start + 60 * options.minutes:
            time.sleep(SAMPLE_S)
            for name in PROGRAMS:
                samples[name].append(entrepot.resident(name))
            if len(samples[PROGRAMS[0]]) % 6 == 0:
                print(f"# {(time.monotonic() - start) / 60:.0f} min: {dict(load.counts)}, {len(load.errors)} errors; MiB: "
                      + ", ".join(f"{name} {values[-1]:.0f}" for name, values in samples.items()), flush=True)
        load.end.set()
        for thread in threads:
            thread.join()
        print(run(options.programs / "entrepot", "quota", "show", "hub", "--json", "--data", work / "entrepot" / "data"))
        print(run(options.programs / "entrepot", "gc", "status", "--json", "--data", work / "entrepot" / "data"))
    finally:
        entrepot.stop()
        upstream.stop()
        log = (work / "entrepot" / "log").read_text(errors="replace")
        shutil.rmtree(work, ignore_errors=True)
    for error in load.errors[:20]:
        print(error)
    for line in [line for line in log.splitlines() if " error " in line or " critical " in line][:20]:
        print(line)
    grown = []
    for name, values in samples.items():
        # The first quarter fills caches and pools.
        quarter = len(values) // 4
        early, late = statistics.median(values[quarter:2 * quarter]), statistics.median(values[-quarter:])
        print(f"{name}: median {early:.0f} MiB in the second quarter, {late:.0f} MiB in the last")
        if late > 1.2 * early + 4:
            grown.append(name)
    if load.errors or grown:
        raise SystemExit(f"{len(load.errors)} errors, memory grows: {grown}")


main()

# SPDX-License-Identifier: Apache-2.0
"""Entrepot beside what else does its work, on one machine, with one upstream, in turns. Prints a Markdown table.

Load, servers and database share the machine's cores, so rates are low; what counts are ratios within a row.
"""

import argparse
import json
import os
import pathlib
import platform
import shutil
import statistics
import tempfile
import time

from machine import ACCEPT, Distance, Entrepot, Nginx, Registry, crowd, download, get, load, run, skopeo, wait_for

BLOB = 512 * 2**20
STREAMS = 8


class Bench:
    def __init__(self, programs, work, rounds):
        self.programs = programs
        self.work = work
        self.rounds = rounds
        self.rows = []
        self.started = []
        self.count = 0

    def folder(self, name):
        self.count += 1
        return self.work / f"{name}-{self.count}"

    def start(self, make, *words, **named):
        server = make(*words, **named)
        self.started.append(server)
        return server

    def entrepot(self, upstream=None, **named):
        upstream = (upstream or self.upstream).address
        return self.start(Entrepot, self.programs, self.folder("entrepot"), upstream, **named)

    def cache(self, upstream=None):
        return self.start(Registry, self.folder("cache"), (upstream or self.upstream).address)

    def proxy(self, upstream=None):
        """nginx as a cache of all that it proxies, which lets one request through for what several want."""
        folder = self.folder("nginx")
        return self.start(
            Nginx, folder,
            f"location / {{ proxy_pass http://{(upstream or self.upstream).address}; proxy_cache c; proxy_cache_lock on; "
            "proxy_cache_valid 200 1h; proxy_http_version 1.1; proxy_set_header Connection ''; }",
            f"proxy_cache_path {folder}/cache keys_zone=c:10m max_size=20g;")

    def stop(self, *servers):
        for server in servers or self.started[::-1]:
            server.stop()
            self.started.remove(server)

    def row(self, work, unit, **values):
        self.rows.append((work, unit, values))
        print(f"# {work} ({unit}): " + ", ".join(f"{name} {value}" for name, value in values.items()), flush=True)

    def row_of_times(self, work, times, digits):
        """Medians of the rounds, and of their ratios to the direct download of the same round."""
        ratios = {name: statistics.median(a / b for a, b in zip(v, times["direct"])) for name, v in times.items()}
        self.row(work, "s, and as a ratio to a direct download",
                 **{name: f"{statistics.median(v):.2f}, {ratios[name]:.{digits}f}" for name, v in times.items()})

    def table(self):
        names = ["entrepot", "docker-registry", "nginx", "direct"]
        lines = ["| work | " + " | ".join(names) + " |", "| --- " * (len(names) + 1) + "|"]
        for work, unit, values in self.rows:
            lines.append(f"| {work}, {unit} | " + " | ".join(str(values.get(name, "–")) for name in names) + " |")
        return "\n".join(lines)

    # Rows

    def prepare(self):
        self.upstream = self.start(Registry, self.folder("upstream"))
        self.small, _ = self.upstream.push_image("app", [os.urandom(1_000_000)])
        _, (self.warm,) = self.upstream.push_image("warm", [os.urandom(BLOB)])

    def warm_blob(self):
        """CPU of the servers for each GB that 8 clients take of a blob that is there."""
        peers = {"entrepot": self.entrepot(), "docker-registry": self.cache()}
        urls = {"entrepot": f"http://{peers['entrepot'].address}/v2/hub/warm/blobs/{self.warm}",
                "docker-registry": f"http://{peers['docker-registry'].address}/v2/warm/blobs/{self.warm}"}
        get(f"http://{peers['entrepot'].address}/v2/hub/warm/manifests/1")
        get(f"http://{peers['docker-registry'].address}/v2/warm/manifests/1")
        for url in urls.values():
            get(url)
        # The very file that Entrepot sends: how the kernel holds a file depends on how it was written.
        wait_for("the blob's file", lambda: peers["entrepot"].stored(self.warm))
        file, = peers["entrepot"].stored(self.warm)
        peers["nginx"] = self.start(Nginx, self.folder("nginx"), f"location / {{ root {file.parent}; }}")
        urls["nginx"] = f"http://{peers['nginx'].address}/{file.name}"
        get(urls["nginx"])
        spent = {name: [] for name in peers}
        for _ in range(self.rounds):
            for name, server in peers.items():
                only = "registry-frontend" if name == "entrepot" else None
                before = server.cpu(only)
                download([urls[name]] * STREAMS)
                spent[name].append((server.cpu(only) - before) / (STREAMS * BLOB / 1e9))
        self.row(f"warm 512 MiB blob, {STREAMS} streams: server CPU", "s per GB",
                 **{name: f"{statistics.median(values):.3f}" for name, values in spent.items()})
        ratios = [ours / theirs for ours, theirs in zip(spent["entrepot"], spent["nginx"])]
        self.row("the same, as a ratio to nginx", "median", entrepot=f"{statistics.median(ratios):.2f}", nginx="1")
        for streams in (8, 64):
            before = peers["entrepot"].resident("registry-frontend"), peers["docker-registry"].resident("docker-registry")
            download([urls["entrepot"]] * streams)
            download([urls["docker-registry"]] * streams)
            after = peers["entrepot"].resident("registry-frontend"), peers["docker-registry"].resident("docker-registry")
            self.row(f"resident after {streams} warm streams", "MiB, largest process",
                     **{"entrepot": f"{max(before[0], after[0]):.0f}", "docker-registry": f"{max(before[1], after[1]):.0f}"})
        self.stop(*peers.values())

    def warm_manifest(self):
        """Requests per second for one manifest, 64 connections, and what each costs all processes of the server."""
        folder = self.folder("static")
        folder.mkdir(mode=0o755)
        get(f"http://{self.upstream.address}/v2/app/manifests/{self.small}", folder / "manifest")
        static = self.start(Nginx, self.folder("nginx"), f"location / {{ root {folder}; }}")
        cache = self.cache()
        get(f"http://{cache.address}/v2/app/manifests/1")

        def measured(server, url, seconds=8):
            load(url, 2)
            rounds = []
            for _ in range(self.rounds):
                before = server.cpu()
                rate, _, slow = load(url, seconds)
                rounds.append((rate, slow, (server.cpu() - before) / (rate * seconds) * 1e6))
            return "{:.0f}/s, p99 {:.0f} ms, {:.0f} µs".format(*(statistics.median(part) for part in zip(*rounds)))

        nginx = measured(static, f"http://{static.address}/manifest")
        theirs = measured(cache, f"http://{cache.address}/v2/app/manifests/{self.small}")
        theirs_by_tag = measured(cache, f"http://{cache.address}/v2/app/manifests/1")
        self.stop(cache, static)
        unit = "rate, 99th percentile, CPU of each"
        for strict in (True, False):
            entrepot = self.entrepot(strict=strict)
            url = f"http://{entrepot.address}/v2/hub/app/manifests"
            get(f"{url}/1")
            self.row(f"warm manifest by digest, 64 connections, {'strict' if strict else 'relaxed'} log", unit,
                     **{"entrepot": measured(entrepot, f"{url}/{self.small}"), "docker-registry": theirs, "nginx": nginx})
            if strict:
                self.row("warm manifest by tag, checked upstream, 64 connections", unit,
                         **{"entrepot": measured(entrepot, f"{url}/1"), "docker-registry": theirs_by_tag})
            self.stop(entrepot)

    def cold_blob(self):
        """One client takes a blob that isn't there yet."""
        entrepot, cache, proxy = self.entrepot(), self.cache(), self.proxy()
        places = {"direct": (self.upstream.address, ""), "entrepot": (entrepot.address, "hub/"),
                  "nginx": (proxy.address, ""), "docker-registry": (cache.address, "")}
        kept = self.work / "kept"

        def curl(into):
            return lambda address, name, blob: download([f"http://{address}/v2/{name}/blobs/{blob}"], into)[0][1]

        clients = {
            "one cold 512 MiB blob, to nowhere": curl("/dev/null"),
            "the same, kept in a file": curl(kept),
            "the same, by skopeo, which verifies and keeps it": lambda address, name, blob:
                skopeo(f"{address}/{name}:1", kept),
        }
        spent = {client: {name: [] for name in places} for client in clients}
        asked = {}
        for number in range(self.rounds):
            for kind, (client, take) in enumerate(clients.items()):
                image = f"cold{number}-{kind}"
                _, (blob,) = self.upstream.push_image(image, [os.urandom(BLOB)])
                for name, (address, organization) in places.items():
                    # Nobody pays for what those before have left to be written.
                    os.sync()
                    get(f"http://{address}/v2/{organization}{image}/manifests/1")
                    before = self.upstream.asked(blob)
                    spent[client][name].append(take(address, organization + image, blob))
                    after = self.upstream.asked(blob)
                    asked[name] = f"{after[0] - before[0]} GET, {after[1] - before[1]} HEAD"
                    kept.unlink(missing_ok=True)
        for client, times in spent.items():
            self.row_of_times(client, times, digits=1)
        self.row("the same: what upstream is asked", "requests", **asked)
        self.stop(entrepot, cache, proxy)

    def crowd(self):
        """32 clients over 2 frontends take one cold blob at once."""
        entrepot, cache, proxy = self.entrepot(frontends=2), self.cache(), self.proxy()
        peers = {"entrepot": (entrepot.addresses, "hub/"), "docker-registry": ([cache.address], ""),
                 "nginx": ([proxy.address], "")}
        asked, first = {name: [] for name in peers}, {name: [] for name in peers}
        for number in range(self.rounds):
            image = f"crowd{number}"
            _, (blob,) = self.upstream.push_image(image, [os.urandom(BLOB)])
            for name, (addresses, organization) in peers.items():
                for address in addresses:
                    get(f"http://{address}/v2/{organization}{image}/manifests/1")
                os.sync()
                before, _ = self.upstream.asked(blob)
                # Slow enough for all to be there while it arrives.
                places = [addresses[n % len(addresses)] for n in range(32)]
                times = crowd(places, f"/v2/{organization}{image}/blobs/{blob}", BLOB, 20e6)
                asked[name].append(self.upstream.asked(blob)[0] - before)
                first[name].append((1e3 * statistics.median(times), 1e3 * max(times)))
        self.row("32 clients, one cold 512 MiB blob", "GETs upstream",
                 **{name: max(counts) for name, counts in asked.items()})
        self.row("the same: first byte, median and last client", "ms",
                 **{name: ", ".join(f"{statistics.median(part):.0f}" for part in zip(*v)) for name, v in first.items()})
        self.row("the same: resident", "MiB, largest frontend, fetcher",
                 entrepot=f"{entrepot.resident('registry-frontend'):.0f}, {entrepot.resident('upstream-fetcher'):.0f}")
        self.stop(entrepot, cache, proxy)

    def cold_image(self):
        """skopeo takes an image of 6 layers that isn't there yet, directly and through each."""
        entrepot, cache, proxy = self.entrepot(), self.cache(), self.proxy()
        places = {"direct": self.upstream.address, "entrepot": f"{entrepot.address}/hub", "nginx": proxy.address,
                  "docker-registry": cache.address}
        times = {name: [] for name in places}
        for number in range(self.rounds):
            image = f"layers{number}"
            self.upstream.push_image(image, [os.urandom(20 * 2**20) for _ in range(6)])
            for name, place in places.items():
                os.sync()
                times[name].append(skopeo(f"{place}/{image}:1", self.folder("image")))
        self.row("skopeo, one cold image of 6 layers of 20 MiB", "s",
                 **{name: f"{statistics.median(v):.2f}" for name, v in times.items()})
        self.stop(entrepot, cache, proxy)

    def far_blob(self):
        """One client takes a blob that isn't there yet from an upstream that is 50 ms and 50 MB/s away."""
        times = self.from_afar("far", 0.05, 50e6, BLOB // 4)
        self.row("one cold 128 MiB blob, upstream 50 ms and 50 MB/s away: first byte, last byte", "s",
                 **{name: ", ".join(f"{statistics.median(part):.2f}" for part in zip(*v)) for name, v in times.items()})

    def paced_blob(self):
        """One client takes a blob that isn't there yet from an upstream that gives 100 MB/s."""
        times = {name: [last for _, last in v] for name, v in self.from_afar("paced", 0, 100e6, BLOB).items()}
        self.row_of_times("one cold 512 MiB blob, upstream gives 100 MB/s", times, digits=2)

    def from_afar(self, image, seconds, bytes_per_second, size):
        """For each way to a cold blob the times to its first and last byte, one for each round."""
        far = self.start(Distance, self.folder("distance"), self.upstream.address, seconds, bytes_per_second)
        entrepot, cache, proxy = self.entrepot(far), self.cache(far), self.proxy(far)
        places = {"direct": (far.address, ""), "entrepot": (entrepot.address, "hub/"), "nginx": (proxy.address, ""),
                  "docker-registry": (cache.address, "")}
        times = {name: [] for name in places}
        for number in range(self.rounds):
            _, (blob,) = self.upstream.push_image(f"{image}{number}", [os.urandom(size)])
            for name, (address, organization) in places.items():
                os.sync()
                # Right before it: Entrepot fetches by itself what nobody has asked for some seconds later.
                get(f"http://{address}/v2/{organization}{image}{number}/manifests/1")
                times[name] += download([f"http://{address}/v2/{organization}{image}{number}/blobs/{blob}"])
        self.stop(entrepot, cache, proxy, far)
        return times

    def connections(self):
        """What 512 connections cost that ask for manifests all the time."""
        peers = {"entrepot": (self.entrepot(), "registry-frontend", "/v2/hub"),
                 "docker-registry": (self.cache(), "docker-registry", "/v2")}
        sizes = {}
        for name, (server, program, path) in peers.items():
            get(f"http://{server.address}{path}/app/manifests/1")
            run("wrk", "-t1", "-c512", "-d5s", "-H", ACCEPT, f"http://{server.address}{path}/app/manifests/{self.small}")
            sizes[name] = f"{server.resident(program):.0f}"
        self.row("resident after 512 connections of warm manifests", "MiB, largest process", **sizes)
        self.stop(*(server for server, _, _ in peers.values()))

    def jobs(self):
        """The queue alone, 8 workers, one job for each claim."""
        entrepot = self.entrepot()
        database = f"host={entrepot.sockets} user=entrepot dbname=rates"
        rates = []
        for _ in range(self.rounds):
            entrepot.sql("DROP DATABASE IF EXISTS rates")
            entrepot.sql("CREATE DATABASE rates")
            run(self.programs / "entrepot", "migrate", "--postgres", database)
            rates.append(json.loads(run(self.programs / "JobRates", "--postgres", database)))
        enqueued, claimed = (statistics.median(rate[name] for rate in rates)
                             for name in ("enqueued_per_s", "claimed_and_completed_per_s"))
        self.row("jobs enqueued, and claimed and completed one by one, by 8 workers", "rate",
                 entrepot=f"{enqueued:.0f}/s, {claimed:.0f}/s")
        self.stop(entrepot)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=pathlib.Path, required=True, help="folder of the release programs")
    parser.add_argument("--rounds", type=int, default=3)
    rows = [
        "warm_blob", "warm_manifest", "cold_blob", "cold_image", "far_blob", "paced_blob", "crowd", "connections", "jobs",
    ]
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(rows)}; all if none is named")
    options = parser.parse_args()
    if unknown := set(options.rows) - set(rows):
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    work = pathlib.Path(tempfile.mkdtemp(prefix="entrepot-bench-"))
    work.chmod(0o755)
    bench = Bench(options.programs.resolve(), work, options.rounds)
    try:
        bench.prepare()
        for row in options.rows or rows:
            # What the rows before have written would otherwise be written while this one waits for the disk.
            os.sync()
            getattr(bench, row)()
    finally:
        bench.stop()
        shutil.rmtree(work, ignore_errors=True)
    print(f"\n{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores of {platform.machine()}, median of {options.rounds}\n")
    print(bench.table())


main()

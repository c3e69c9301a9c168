// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc

/// What the kernel says of this process; see proc(5).
enum ProcessReadings {
    /// By the names that Prometheus' own clients use. What can't be read is missing.
    static func now() -> [String: Double] {
        var readings: [String: Double] = [:]
        let ticks = Double(sysconf(Int32(_SC_CLK_TCK)))
        // The second field is the program's name, in parentheses, and may contain anything.
        if let stat = text("/proc/self/stat"), let end = stat.lastIndex(of: ")") {
            let fields = stat[stat.index(after: end)...].split(separator: " ")
            if fields.count > 21, let user = Double(fields[11]), let system = Double(fields[12]),
                let start = Double(fields[19]), let pages = Double(fields[21])
            {
                readings["process_cpu_seconds_total"] = (user + system) / ticks
                readings["process_resident_memory_bytes"] = pages * Double(sysconf(Int32(_SC_PAGESIZE)))
                if let boot { readings["process_start_time_seconds"] = boot + start / ticks }
            }
        }
        // Without the descriptor that reads the folder.
        if let open = try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd") {  // else it isn't told
            readings["process_open_fds"] = Double(open.count - 1)
        }
        var limit = rlimit()
        if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 {
            readings["process_max_fds"] = Double(limit.rlim_cur)
        }
        return readings
    }

    /// When the kernel started, in seconds since 1970.
    private static let boot: Double? = text("/proc/stat")?.split(separator: "\n").first { $0.hasPrefix("btime ") }
        .flatMap { Double($0.dropFirst("btime ".count)) }

    private static func text(_ path: String) -> String? {
        guard let data = FileManager.default.contents(atPath: path) else { return nil }
        return String(decoding: data, as: UTF8.self)
    }
}

// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import ServiceRuntime
import Supervision

/// A file that only its owner reads.
enum OwnFile {
    /// Makes it; one that exists is left as it is. Throws ``SupervisionError``.
    static func write(_ content: Data, to path: String) throws {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else {
            throw SupervisionError("\(path) can't be made: \(String(cString: strerror(errno)))")
        }
        let handle = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        do {
            try handle.write(contentsOf: content)
            try handle.synchronize()
        } catch {
            throw SupervisionError("\(path) can't be written: \(error.localizedDescription)")
        }
    }

    /// The first line of a file, such as a password; `-` is standard input. Throws ``SettingsError`` that names the option.
    static func secret(_ path: String, option: String) throws -> String {
        let content: Data
        do {
            // By a handle, since it may be a pipe.
            let handle =
                path == "-" ? FileHandle.standardInput : try FileHandle(forReadingFrom: URL(filePath: path))
            content = try handle.readToEnd() ?? Data()
        } catch {
            throw SettingsError("\(option) \(path) can't be read")
        }
        return String(decoding: content, as: UTF8.self).trimmingCharacters(in: .newlines)
    }
}

// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import ServiceRuntime
import Supervision
import Synchronization

/// How every subcommand runs: settings as services read them, errors as one line, exit status 2 for a wrong value.
enum Command {
    static func run(
        name: String,
        keys: [SettingKey] = SharedSettings.keys,
        flags: [SettingKey: String] = [:],
        config: String? = nil,
        _ body: (ServiceRuntime) async throws -> Void
    ) async throws {
        // Whoever types a command is a person.
        let defaults = [SharedSettings.logFormat: "text"]
        do {
            try await body(try ServiceRuntime(name: name, keys: keys, flags: flags, defaults: defaults, config: config))
        } catch let error as SettingsError {
            Console.complain(error.description)
            throw ExitCode(2)
        } catch let code as ExitCode {
            throw code  // the command has said what there is to say
        } catch let failure as APIFailure {
            Console.complain(failure.description)
            throw failure.exitCode
        } catch let refusal as ChildRefusal {
            Console.complain(refusal.description)
            throw ExitCode(refusal.status)
        } catch {
            Console.complain("\(error)")
            throw ExitCode(1)
        }
    }
}

extension Command {
    /// What `--json` prints: one object, keys in snake case.
    static func json(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted]
        encoder.keyEncodingStrategy = .convertToSnakeCase
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }
}

/// Whole lines, one writer at a time.
enum Console {
    private static let output = Mutex(FileHandle.standardOutput)
    private static let errors = Mutex(FileHandle.standardError)

    static func write(_ line: String) {
        output.withLock { write(line, to: $0) }
    }

    /// Draws over the last `count` lines (ECMA-48: cursor up, erase to the end of the screen).
    static func write(above count: Int, _ lines: [String]) {
        let up = count > 0 ? "\u{1B}[\(count)A\r\u{1B}[J" : ""
        guard !up.isEmpty || !lines.isEmpty else { return }
        output.withLock { write(up + lines.joined(separator: "\n"), to: $0, end: lines.isEmpty ? "" : "\n") }
    }

    static func write(bytes: [UInt8]) {
        // Nobody reads any more: there is nobody to tell.
        output.withLock { try? $0.write(contentsOf: Data(bytes)) }
    }

    static func complain(_ line: String) {
        errors.withLock { write("entrepot: " + line, to: $0) }
    }

    private static func write(_ line: String, to handle: FileHandle, end: String = "\n") {
        // Nobody reads any more: there is nobody to tell.
        try? handle.write(contentsOf: Data((line + end).utf8))
    }
}

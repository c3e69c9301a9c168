// SPDX-License-Identifier: Apache-2.0

import Foundation
import Metadata

/// Lines of the log for programs (pure).
enum LogLines {
    static let csvHead =
        "at,kind,organization,repository,tag,digest,outcome,status,bytes,duration_us,account,address"
        + ",user_agent,head,upstream,metadata\n"

    static func json(_ record: LogRecord) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.keyEncodingStrategy = .convertToSnakeCase
        return String(decoding: try encoder.encode(record), as: UTF8.self) + "\n"
    }

    static func csv(_ record: LogRecord) -> String {
        let metadata = record.metadata?.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(
            separator: " "
        )
        let time = Date(timeIntervalSince1970: record.at).formatted(
            Date.ISO8601FormatStyle(includingFractionalSeconds: true)
        )
        let fields: [String?] = [
            time, record.kind, record.organization, record.repository, record.tag, record.digest,
            record.outcome, record.status.map(String.init), record.bytes.map(String.init),
            record.durationUs.map(String.init), record.account, record.address, record.userAgent,
            record.isHead.map(String.init), record.upstream, metadata,
        ]
        return fields.map { quoted($0 ?? "") }.joined(separator: ",") + "\n"
    }

    /// RFC 4180; a field that a spreadsheet would run is made text.
    private static func quoted(_ field: String) -> String {
        let safe = field.first.map { "=+-@\t\r".contains($0) } == true ? "'" + field : field
        guard safe.contains(where: { $0 == "," || $0 == "\"" || $0.isNewline }) else { return safe }
        return "\"" + safe.replacing("\"", with: "\"\"") + "\""
    }
}

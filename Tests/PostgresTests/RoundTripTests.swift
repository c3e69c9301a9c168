// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logging
import Postgres
import Testing

@Suite("Values there and back", .timeLimit(.minutes(2)))
struct RoundTripTests {
    private struct Payload: Codable, Hashable {
        let name: String
        let size: Int64
        let note: String?
    }

    private static let awkward = [
        "", " ", "alpine", "ä€😀 e\u{301}", "'; DROP TABLE x; --", #"back\slash \x41 \n"#, #"double "quote""#, "NULL",
        "{1,2}", "line\nbreak\ttab\r", "$1 %s \u{7F}\u{1}",
    ]

    private func echo<Value: PostgresEncodable & PostgresDecodable>(_ value: Value) async throws -> Value? {
        try await TestServer.withClient { client in
            try await client.query("SELECT \(value)").decodeFirst(Value.self)
        }
    }

    /// What comes back from an array of the type, element by element.
    private func echo<Value: PostgresEncodable & PostgresDecodable>(
        _ values: [Value],
        _ type: String
    ) async throws -> [Value] {
        try await TestServer.withClient { client in
            let elements: Query = """
                SELECT e FROM unnest(\(values)::\(unescaped: type)[]) WITH ORDINALITY AS a (e, n) ORDER BY n
                """
            return try await client.query(elements).decode(Value.self)
        }
    }

    @Test("integers", arguments: [Int64.min, -1, 0, 1, .max])
    func integers(_ value: Int64) async throws {
        #expect(try await echo(value) == value)
        #expect(try await echo(Int(value)) == Int(value))
    }

    @Test("strings", arguments: awkward)
    func strings(_ value: String) async throws {
        let back = try await echo(value)
        #expect(back == value)
        #expect(back.map { Array($0.utf8) } == Array(value.utf8), "no normalisation on the way")
    }

    @Test("booleans", arguments: [true, false])
    func booleans(_ value: Bool) async throws {
        #expect(try await echo(value) == value)
    }

    @Test(
        "floating point numbers, to the last bit",
        arguments: [
            0, -0.0, 0.1, .pi, -1e300, 1e-7, 123_456_789_012_345_680, .leastNonzeroMagnitude, .greatestFiniteMagnitude,
            .infinity, -.infinity,
        ] as [Double]
    )
    func doubles(_ value: Double) async throws {
        #expect(try await echo(value)?.bitPattern == value.bitPattern)
    }

    @Test("not a number")
    func notANumber() async throws {
        #expect(try await echo(Double.nan)?.isNaN == true)
    }

    @Test("UUIDs")
    func uuids() async throws {
        let value = UUID()
        #expect(try await echo(value) == value)
    }

    @Test("bytes, all of them", arguments: [0, 1, 256, 70_000])
    func data(_ count: Int) async throws {
        let value = Data((0..<count).map { UInt8(truncatingIfNeeded: $0) })
        #expect(try await echo(value) == value)
    }

    @Test("nil of every type")
    func null() async throws {
        try await TestServer.withClient { client in
            let rows = try await client.query(
                """
                SELECT \(Int?.none), \(Int64?.none), \(String?.none), \(Bool?.none), \(Double?.none), \(UUID?.none),
                    \(Data?.none), \([Int]?.none)::bigint[] IS NULL, \(Optional("x"))
                """
            )
            let row = try #require(
                try rows.decodeFirst(
                    (Int?, Int64?, String?, Bool?, Double?, UUID?, Data?, Bool, String?).self
                )
            )
            #expect(row.0 == nil && row.1 == nil && row.2 == nil && row.3 == nil)
            #expect(row.4 == nil && row.5 == nil && row.6 == nil)
            #expect(row.7)
            #expect(row.8 == "x")
        }
    }

    @Test("arrays of every type, and empty ones")
    func arrays() async throws {
        let uuids = [UUID(), UUID()]
        let data = [Data(), Data([0, 34, 92, 255])]
        #expect(try await echo(Self.awkward, "text") == Self.awkward)
        #expect(try await echo([Int64.min, 0, .max], "bigint") == [.min, 0, .max])
        #expect(try await echo([3, 1, 2], "bigint") == [3, 1, 2])
        #expect(try await echo([true, false], "boolean") == [true, false])
        #expect(try await echo([0.5, -.infinity], "float8") == [0.5, -.infinity])
        #expect(try await echo(uuids, "uuid") == uuids)
        #expect(try await echo(data, "bytea") == data)
        #expect(try await echo([String](), "text").isEmpty)
    }

    @Test("smaller numbers of the server are read as ours")
    func narrowTypes() async throws {
        try await TestServer.withClient { client in
            let row = try await client.query("SELECT 7::int2, -8::int4, 1.5::float4, 2::numeric")
                .decodeFirst((Int, Int64, Double, Int).self)
            let (small, medium, real, numeric) = try #require(row)
            #expect(small == 7)
            #expect(medium == -8)
            #expect(real == 1.5)
            #expect(numeric == 2)
        }
    }

    @Test("JSON is jsonb at the server and decodes to the same value")
    func json() async throws {
        let payload = Payload(name: "a/b \"c\" ä", size: 1 << 40, note: nil)
        try await TestServer.withClient { client in
            let row = try await client.query(
                "SELECT \(json: payload)->>'name', pg_typeof(\(json: payload))::text, \(json: payload)"
            )
            .decodeFirst((String, String, String).self)
            let (name, type, text) = try #require(row)
            #expect(name == payload.name)
            #expect(type == "jsonb")
            #expect(try JSONDecoder().decode(Payload.self, from: Data(text.utf8)) == payload)
        }
    }

    @Test("results count the rows that a statement touched and are collections of rows")
    func results() async throws {
        try await TestServer.withClient(maximumConnections: 1) { client in
            try await client.query("CREATE TEMPORARY TABLE number (n bigint)")
            #expect(try await client.execute("INSERT INTO number SELECT generate_series(1, 5)") == 5)
            #expect(try await client.execute("UPDATE number SET n = n + 10 WHERE n > 3") == 2)
            #expect(try await client.execute("DELETE FROM number WHERE n = 99") == 0)
            let rows = try await client.query("SELECT n, -n AS minus FROM number ORDER BY n")
            #expect(rows.count == 5)
            #expect(rows.affectedRows == 5)
            #expect(try rows.map { try $0.decode("minus", as: Int.self) } == [-1, -2, -3, -14, -15])
            let none = try await client.query("SELECT n FROM number WHERE n = 99")
            #expect(none.isEmpty)
            #expect(try none.decodeFirst(Int.self) == nil)
            #expect(try none.decode(Int.self).isEmpty)
        }
    }

    @Test("tasks that share one connection get each their own answer")
    func sharedConnection() async throws {
        try await TestServer.withClient { client in
            try await client.withConnection { connection in
                try await withThrowingTaskGroup(of: (Int, Int?).self) { group in
                    for number in 0..<100 {
                        group.addTask { (number, try await connection.query("SELECT \(number)").decodeFirst(Int.self)) }
                    }
                    for try await (asked, answered) in group { #expect(asked == answered) }
                }
            }
        }
    }
}

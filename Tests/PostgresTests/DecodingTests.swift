// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import Postgres

@Suite("Decoding of rows")
struct DecodingTests {
    private static let secret = "hunter2"

    private func row(_ columns: [String], _ cells: [String?]) -> Row { Row(columns: columns, cells: cells[...]) }

    private func decodeError(_ body: () throws(PostgresError) -> Void) -> PostgresError? {
        do throws(PostgresError) {
            try body()
            return nil
        } catch {
            return error
        }
    }

    @Test("columns are decoded in their order")
    func tuple() throws {
        let row = row(["id", "name", "live", "note"], ["7", "alpine", "t", nil])
        let (id, name, isLive, note) = try row.decode((Int64, String, Bool, String?).self)
        #expect(id == 7)
        #expect(name == "alpine")
        #expect(isLive)
        #expect(note == nil)
    }

    @Test("a row inside a result starts at its own cells")
    func slice() throws {
        let cells: [String?] = ["1", "a", "2", "b"]
        let second = Row(columns: ["n", "s"], cells: cells[2..<4])
        let (number, text) = try second.decode((Int, String).self)
        #expect(number == 2)
        #expect(text == "b")
        #expect(try second.decode("s", as: String.self) == "b")
    }

    @Test("a column is found by its name")
    func byName() throws {
        let row = row(["id", "name"], ["7", "alpine"])
        #expect(try row.decode("name", as: String.self) == "alpine")
        #expect(try row.decode("id", as: Int.self) == 7)
        let error = decodeError { () throws(PostgresError) in _ = try row.decode("nam", as: String.self) }
        #expect(error?.code == .decode)
        #expect(error?.message.contains("nam") == true)
    }

    @Test("text that isn't of the type names column and type, never the value")
    func foreignText() {
        let row = row(["token"], [Self.secret])
        let errors: [(String, PostgresError?)] = [
            ("Int", decodeError { () throws(PostgresError) in _ = try row.decode(Int.self) }),
            ("Int64", decodeError { () throws(PostgresError) in _ = try row.decode(Int64.self) }),
            ("Bool", decodeError { () throws(PostgresError) in _ = try row.decode(Bool.self) }),
            ("Double", decodeError { () throws(PostgresError) in _ = try row.decode(Double.self) }),
            ("UUID", decodeError { () throws(PostgresError) in _ = try row.decode(UUID.self) }),
            ("Data", decodeError { () throws(PostgresError) in _ = try row.decode(Data.self) }),
            ("Int", decodeError { () throws(PostgresError) in _ = try row.decode(Int?.self) }),
            ("Int", decodeError { () throws(PostgresError) in _ = try row.decode("token", as: Int.self) }),
        ]
        for (type, error) in errors {
            #expect(error?.code == .decode, "\(type)")
            #expect(error?.message.contains("token") == true, "\(type)")
            #expect(error?.message.contains(type) == true, "\(type)")
            #expect(error?.description.contains(Self.secret) == false, "\(type)")
        }
    }

    @Test("NULL is nil for an optional and an error that names the column for everything else")
    func null() throws {
        let row = row(["expires_at", "id"], [nil, "1"])
        let (number, id) = try row.decode((Int?, Int?).self)
        #expect(id == 1)
        let text: String? = try row.decode("expires_at", as: String?.self)
        #expect(number == nil)
        #expect(text == nil)
        let error = decodeError { () throws(PostgresError) in _ = try row.decode((String, Int).self) }
        #expect(error?.code == .decode)
        #expect(error?.message.contains("expires_at") == true)
    }

    @Test("a row with more or fewer columns than the caller expects is refused")
    func width() {
        let row = row(["a", "b"], ["1", "2"])
        #expect(decodeError { () throws(PostgresError) in _ = try row.decode(Int.self) }?.code == .decode)
        #expect(decodeError { () throws(PostgresError) in _ = try row.decode((Int, Int, Int).self) }?.code == .decode)
        #expect(decodeError { () throws(PostgresError) in _ = try row.decode((Int, Int).self) } == nil)
    }

    @Test(
        "bytea text that isn't whole bytes in hexadecimal is refused",
        arguments: ["", "\\", "\\x0", "x00", "00", "\\X00", "\\x0g", "\\x+1", "\\x٣٤"]
    )
    func notBytes(_ text: String) {
        #expect(Data(postgresText: text) == nil)
    }

    @Test("bytea text is read in either case")
    func bytes() {
        #expect(Data(postgresText: "\\x") == Data())
        #expect(Data(postgresText: "\\x00ffAb") == Data([0, 255, 0xAB]))
    }

    @Test("only the server's own two words are booleans", arguments: ["true", "T", "1", "", "yes"])
    func booleans(_ text: String) {
        #expect(Bool(postgresText: text) == nil)
    }
}

@Suite("PostgreSQL errors")
struct PostgresErrorTests {
    @Test("a description is one line of code, state and message")
    func description() {
        #expect(PostgresError(.connect, "refused").description == "connect: refused")
        let error = PostgresError(.server, "duplicate key", sqlState: .uniqueViolation, constraint: "tag_live")
        #expect(error.description == "server 23505: duplicate key")
        #expect(error.constraint == "tag_live")
    }

    @Test("codes are told apart")
    func codes() {
        let codes: [PostgresError.Code] = [
            .connect, .connectionLost, .timeout, .server, .decode, .encode, .poolClosed, .acquireTimeout,
        ]
        #expect(Set(codes).count == codes.count)
        #expect(Set(codes.map(\.description)).count == codes.count)
    }
}

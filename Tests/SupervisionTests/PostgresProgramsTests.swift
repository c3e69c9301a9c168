// SPDX-License-Identifier: Apache-2.0

import Foundation
import Supervision
import TestSupport
import Testing

@Suite("PostgreSQL's programs")
struct PostgresProgramsTests {
    private let folder: TemporaryDirectory

    init() throws { folder = try TemporaryDirectory() }

    /// Makes executables in a folder of that name; returns the folder's path.
    @discardableResult
    private func install(_ place: String, _ programs: [String] = ["initdb", "postgres"], mode: Int = 0o755) throws
        -> String
    {
        let path = "\(folder.path)/\(place)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        for program in programs {
            try "#!/bin/sh\n".write(toFile: "\(path)/\(program)", atomically: false, encoding: .utf8)
            try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: "\(path)/\(program)")
        }
        return path
    }

    private func find(path: String = "", roots: [String]? = nil) throws -> PostgresPrograms {
        try PostgresPrograms.find(path: path, versionRoots: roots ?? ["\(folder.path)/lib"])
    }

    @Test("PATH comes before any version, its folders in their order")
    func pathFirst() throws {
        try install("lib/17/bin")
        let first = try install("first")
        let second = try install("second")
        let found = try find(path: "/nowhere::\(first):\(second)")
        #expect(found.folder == first)
        #expect(found.initdb == "\(first)/initdb")
        #expect(found.postgres == "\(first)/postgres")
    }

    @Test("the newest version is the highest number, not the last name")
    func newest() throws {
        for version in ["9.6", "15", "16", "common", "17.old", "latest"] { try install("lib/\(version)/bin") }
        #expect(try find(path: "/usr/nowhere").folder == "\(folder.path)/lib/16/bin")
    }

    @Test("a folder with half of the programs, or with files that can't be run, is passed over")
    func incomplete() throws {
        let half = try install("half", ["postgres"])
        try install("lib/17/bin", ["initdb"])
        try install("lib/16/bin", mode: 0o644)
        try FileManager.default.createDirectory(atPath: "\(folder.path)/lib/18", withIntermediateDirectories: true)
        let complete = try install("lib/15/bin")
        #expect(try find(path: half).folder == complete)
    }

    @Test("roots are searched in their order, and need not exist")
    func roots() throws {
        let old = try install("b/9.6/bin")
        try install("c/17/bin")
        let found = try find(roots: ["a", "b", "c"].map { "\(folder.path)/\($0)" })
        #expect(found.folder == old)
    }

    @Test("when there are none, the error says where was looked and what to install")
    func missing() throws {
        let root = "\(folder.path)/lib"
        let error = #expect(throws: SupervisionError.self) { try find(path: folder.path) }
        let text = error?.description ?? ""
        for part in ["initdb", "PATH", root, "install the package postgresql", "--postgres URL"] {
            #expect(text.contains(part), "\(text)")
        }
    }
}

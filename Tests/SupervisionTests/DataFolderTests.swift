// SPDX-License-Identifier: Apache-2.0

import Foundation
import Supervision
import TestSupport
import Testing

@Suite("Data folder")
struct DataFolderTests {
    private let parent: TemporaryDirectory

    init() throws { parent = try TemporaryDirectory() }

    @Test("the folder is made with its parents, and everything is inside")
    func made() throws {
        let path = parent.path + "/a/b"
        let folder = try DataFolder(path)
        #expect(FileManager.default.fileExists(atPath: path))
        #expect(folder.path == path)
        for inside in [folder.database, folder.storage, folder.socketFolder] { #expect(inside.hasPrefix(path + "/")) }
    }

    @Test("a relative path is one from the current folder")
    func relative() throws {
        let here = FileManager.default.currentDirectoryPath
        let up = String(repeating: "../", count: here.split(separator: "/").count)
        let folder = try DataFolder(up + parent.path.dropFirst() + "/data")
        #expect(folder.path.hasPrefix("/"))
        #expect(FileManager.default.fileExists(atPath: parent.path + "/data/lock"))
    }

    @Test("a folder in use is refused by its name until the one who uses it lets go")
    func lock() throws {
        let path = parent.path + "/data"
        var first: DataFolder? = try DataFolder(path)
        #expect(first != nil)
        for _ in 0..<2 {
            let error = #expect(throws: SupervisionError.self) { try DataFolder(path) }
            #expect(error?.description == "data folder \(path) is in use by another `entrepot up`")
        }
        first = nil
        #expect(throws: Never.self) { try DataFolder(path) }
    }

    @Test("a folder that can't be made is an error that names it")
    func impossible() throws {
        let file = parent.path + "/file"
        try "".write(toFile: file, atomically: false, encoding: .utf8)
        for path in [file, file + "/data"] {
            let error = #expect(throws: SupervisionError.self) { try DataFolder(path) }
            #expect(error?.description.hasPrefix("data folder \(path) can't be made: ") == true)
        }
    }

    @Test(
        "a path that no socket or connection string can have gets a short socket folder, always the same one and its own",
        arguments: [String(repeating: "long", count: 25), "a,b", "it's", "back\\slash"]
    )
    func awkwardPath(_ name: String) throws {
        let awkward = parent.path + "/" + name
        let other = try DataFolder(awkward + "x").socketFolder
        var again = ""
        do { again = try DataFolder(awkward).socketFolder }
        let folder = try DataFolder(awkward)
        #expect(folder.socketFolder == again)
        #expect(folder.socketFolder != other)
        #expect(
            folder.socketFolder.wholeMatch(of: /\/tmp\/entrepot-\d+-[0-9a-f]{1,16}/) != nil,
            "\(folder.socketFolder)"
        )
        #expect(folder.database == awkward + "/postgres")
    }

    @Test("a longest path that a socket can have is used as it is, one more byte is too much")
    func longestPath() throws {
        let socket = "/run/.s.PGSQL.5432"
        let longest =
            parent.path + "/" + String(repeating: "x", count: 107 - socket.utf8.count - parent.path.utf8.count - 1)
        #expect(try DataFolder(longest).socketFolder == longest + "/run")
        #expect(try DataFolder(longest + "x").socketFolder.hasPrefix("/tmp/entrepot-"))
    }
}

// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import ServiceRuntime

@Suite("Settings of traces")
struct TraceSettingsTests {
    private func settings(_ environment: [String: String]) throws -> SettingsReader {
        try SettingsReader(keys: SharedSettings.keys, flags: [:], environment: environment, path: nil)
    }

    @Test("nothing is traced unless there is a collector, whose URL may end with a slash")
    func endpoint() throws {
        #expect(try TraceExport(settings([:])) == nil)
        let given = try settings(["TRACES_ENDPOINT": "http://127.0.0.1:4318/"])
        #expect(try TraceExport(given) != nil)
        #expect(try given.baseURL(SharedSettings.tracesEndpoint) == "http://127.0.0.1:4318")
    }

    @Test(
        "a wrong value is named",
        arguments: [
            ("TRACES_ENDPOINT", "collector:4318"), ("TRACES_ENDPOINT", "http://"), ("TRACES_SHARE", "1.5"),
            ("TRACES_SHARE", "half"), ("TRACES_SHARE", "nan"),
        ]
    )
    func wrong(_ name: String, _ value: String) throws {
        let settings = try settings([name: value])
        let error = #expect(throws: SettingsError.self) { _ = try TraceExport(settings) }
        #expect(error.map { "\($0)".contains(name) && "\($0)".contains(value) } == true)
    }
}

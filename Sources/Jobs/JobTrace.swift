// SPDX-License-Identifier: Apache-2.0

import Models
import Tracing

/// How the trace of a request goes along with the jobs that it makes: as the fields that the tracer would write into a
/// request's header.
enum JobTrace {
    private struct Fields: Injector, Extractor {
        func inject(_ value: String, forKey key: String, into carrier: inout [String: String]) { carrier[key] = value }

        func extract(key: String, from carrier: [String: String]) -> String? { carrier[key] }
    }

    /// JSON of what the current task's trace is; nil when there is nothing to say.
    static var current: String? {
        guard let context = ServiceContext.current else { return nil }
        var fields: [String: String] = [:]
        InstrumentationSystem.instrument.inject(context, into: &fields, using: Fields())
        return fields.isEmpty ? nil : JSONText.encode(fields)
    }

    /// - Parameters:
    ///   - request: of the row
    ///   - trace: of the row, as ``current`` made it
    static func context(of request: String?, _ trace: String?) -> ServiceContext {
        var context = ServiceContext.topLevel
        context.requestID = request.flatMap(RequestID.init)
        // A job is done whatever is said of its trace.
        guard let trace, let fields = try? JSONText.decode([String: String].self, trace) else { return context }
        InstrumentationSystem.instrument.extract(fields, into: &context, using: Fields())
        return context
    }
}

// SPDX-License-Identifier: Apache-2.0

extension StringProtocol {
    /// This text in quotes for a message: at most 200 characters, control and other invisible characters escaped, so
    /// that input from a client or an upstream can neither forge log lines nor flood them.
    var quoted: String {
        var result = "\""
        var count = 0
        for scalar in unicodeScalars {
            guard count < 200 else {
                result += "…"
                break
            }
            count += 1
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned:
                result += "\\u{" + String(scalar.value, radix: 16) + "}"
            default:
                if scalar == "\"" || scalar == "\\" { result += "\\" }
                result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}

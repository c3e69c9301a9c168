// SPDX-License-Identifier: Apache-2.0

import Accounts
import Testing

@Suite("Password hashes")
struct PasswordHashTests {
    @Test("a password matches what was stored of it, and nothing else does")
    func matching() throws {
        let stored = try #require(PasswordHash(try PasswordHash(of: "correct horse").description))
        #expect(try stored.matches("correct horse"))
        #expect(try !stored.matches("correct horse "))
        #expect(try !stored.matches(""))
    }

    @Test("one password is never stored alike twice, and never readable")
    func salted() throws {
        let (first, second) = (try PasswordHash(of: "secret12"), try PasswordHash(of: "secret12"))
        #expect(first != second)
        #expect(!first.description.contains("secret12"))
        #expect(first.description.hasPrefix("$scrypt$ln=15,r=8,p=1$"))
    }

    /// RFC 7914 section 12, the third vector, as the string format writes its first 32 bytes.
    @Test("the vector of the specification is met")
    func vector() throws {
        let salt = "U29kaXVtQ2hsb3JpZGU="
        let hash = "cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofI="
        let stored = PasswordHash("$scrypt$ln=14,r=8,p=1$\(salt)$\(hash)")
        #expect(try stored?.matches("pleaseletmein") == true)
    }

    @Test(
        "what was stored by nobody is refused",
        arguments: [
            "", "secret", "$scrypt$", "$scrypt$ln=99,r=8,p=1$YWFh$YWFh", "$bcrypt$ln=15,r=8,p=1$YWFh$YWFh",
            "$scrypt$ln=15,r=8$YWFh$YWFh", "$scrypt$ln=15,r=8,p=1$!$YWFh",
        ]
    )
    func garbage(_ text: String) { #expect(PasswordHash(text) == nil) }
}

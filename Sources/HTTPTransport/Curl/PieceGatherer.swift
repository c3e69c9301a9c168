// SPDX-License-Identifier: Apache-2.0

/// Makes few large pieces of a body out of many small ones. Curl gives away no more than 16 KiB at once, and a sink that
/// writes to a file spends half of its time on calls of that size.
///
/// Lives on the driver's thread, which flushes it before it waits: no byte is kept while there is nothing to do.
final class PieceGatherer {
    private static let capacity = 256 * 1024

    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 64)
    private var count = 0
    private var owner: Transfer?

    deinit { buffer.deallocate() }

    func add(_ bytes: UnsafeRawBufferPointer, of transfer: Transfer) {
        if owner !== transfer { flush() }
        owner = transfer
        var rest = bytes[...]
        while !rest.isEmpty {
            let part = rest.prefix(Self.capacity - count)
            UnsafeMutableRawBufferPointer(rebasing: buffer[count...]).copyMemory(
                from: UnsafeRawBufferPointer(rebasing: part)
            )
            count += part.count
            rest = rest.dropFirst(part.count)
            if count == Self.capacity { deliver() }
        }
    }

    func flush() {
        deliver()
        owner = nil
    }

    private func deliver() {
        guard count > 0 else { return }
        owner?.deliver(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        count = 0
    }
}

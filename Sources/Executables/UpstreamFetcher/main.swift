// SPDX-License-Identifier: Apache-2.0

import FetcherProgram
import ServiceRuntime

await Program.upstreamFetcher.main()

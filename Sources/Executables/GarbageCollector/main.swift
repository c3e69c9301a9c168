// SPDX-License-Identifier: Apache-2.0

import CollectorProgram
import ServiceRuntime

await Program.garbageCollector.main()

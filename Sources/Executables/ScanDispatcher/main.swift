// SPDX-License-Identifier: Apache-2.0

import DispatcherProgram
import ServiceRuntime

await Program.scanDispatcher.main()

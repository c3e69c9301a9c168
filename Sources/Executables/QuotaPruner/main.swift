// SPDX-License-Identifier: Apache-2.0

import PrunerProgram
import ServiceRuntime

await Program.quotaPruner.main()

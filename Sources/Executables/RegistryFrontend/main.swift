// SPDX-License-Identifier: Apache-2.0

import FrontendProgram
import ServiceRuntime

await Program.registryFrontend.main()

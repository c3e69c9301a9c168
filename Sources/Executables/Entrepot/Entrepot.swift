// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CollectorProgram
import DispatcherProgram
import FetcherProgram
import FrontendProgram
import Glibc
import PrunerProgram
import ServiceRuntime

/// The operator's command. Under the name of a service (a link is enough) it is that service, so that an image holds
/// the code of all of them once.
@main
struct Entrepot: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "entrepot",
        abstract: "A pull-through cache for container registries.",
        subcommands: [
            Up.self, StatusCommand.self, WarmCommand.self, OrganizationCommand.self, ProxyCommand.self,
            QuotaCommand.self, CollectionCommand.self, ScanCommand.self, RepositoryCommand.self, TagCommand.self,
            LogsCommand.self, UserCommand.self,
            RobotCommand.self, TokenCommand.self, LoginCommand.self, LogoutCommand.self, DoctorCommand.self,
            UpstreamCommand.self, KeyCommand.self, Migrate.self, ReadyCommand.self,
        ]
    )

    private static let services: [Program] = [
        .registryFrontend, .upstreamFetcher, .quotaPruner, .garbageCollector, .scanDispatcher,
    ]

    static func main() async {
        let name = CommandLine.arguments.first?.split(separator: "/").last.map(String.init)
        if let service = services.first(where: { $0.name == name }) { return await service.main() }
        do {
            var command = try parseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch {
            // A value that can't be used ends with status 2, whether ArgumentParser finds it or we do.
            guard exitCode(for: error) == .validationFailure else { exit(withError: error) }
            Console.complain(fullMessage(for: error))
            Glibc.exit(2)
        }
    }
}

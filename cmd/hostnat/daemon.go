package main

import (
	"log/slog"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/daemon"
	"github.com/hostnat/hostnat/internal/lograte"
)

func daemonCommand(a *app) *cobra.Command {
	options := daemon.Options{Readers: "group"}
	cmd := &cobra.Command{
		Use: "daemon", Short: "Run the daemon in the foreground", Args: positional(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.needRoot("hostnat daemon"); err != nil {
				return err
			}
			options.Log, options.Version = slog.New(lograte.New(slog.NewTextHandler(a.Stderr, nil))), buildVersion()
			return daemon.Run(cmd.Context(), options)
		},
	}
	addDirectories(cmd.Flags(), &options)
	cmd.Flags().StringVar(&options.ConfDir, "conf-dir", defaultConfDir, "whose configuration files are applied at the start and at SIGHUP")
	cmd.Flags().StringVar(&options.DockerDriver, "docker-driver", "", "serve Docker's network and IPAM driver at this `socket`, such as "+defaultDockerDriver)
	cmd.Flags().Lookup("docker-driver").NoOptDefVal = defaultDockerDriver
	cmd.Flags().BoolVar(&options.Discard, "discard-sessions", false, "end the sessions of an earlier version if they cannot be carried over")
	cmd.Flags().TextVar(&options.HostNames, "host-names", options.HostNames, "which names the host's programs find where systemd-resolved runs, `internal|all|off`; all: in the networks' own domains, too")
	cmd.Flags().TextVar(&options.Readers, "read", options.Readers, "who may read more than the status, `group|all`; group: root and the members of the group hostnat")
	cmd.Flags().StringVar(&options.Web, "web", "", "serve a web page at this `ADDRESS:PORT`, such as 127.0.0.1:8642; hostnat web prints its URL")
	cmd.Flags().BoolVar(&options.WebRemote, "web-remote", false, "the web page may be at other addresses than loopback ones; what it shows, and its token, then travel unencrypted")
	cmd.Flags().StringArrayVar(&options.Export.IPFIX, "ipfix", nil, "send what happens to sessions and bindings to this `COLLECTOR` by IPFIX (RFC 8158): udp:ADDRESS[:PORT] or tcp:ADDRESS[:PORT]; may be repeated")
	cmd.Flags().StringArrayVar(&options.Export.Syslog, "syslog", nil, "send it to this `SERVER` as syslog messages (RFC 5424): udp:ADDRESS[:PORT], tcp:ADDRESS[:PORT] or unix:/dev/log; may be repeated")
	cmd.Flags().BoolVar(&options.Export.Remotes, "export-remotes", false, "also send with whom endpoints speak, which RFC 6888 advises against (REQ-12)")
	cmd.Flags().StringVar(&options.ResolvConf, "resolv-conf", "/etc/resolv.conf", "where the resolvers are named that endpoints' queries go to")
	return cmd
}

func webCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "web", Short: "Print the URL of the daemon's web page, with the token that it needs", Args: positional(),
		Long: "Print the URL of the daemon's web page, with the token that it needs: open it in a browser of this\n" +
			"host, or elsewhere through ssh -L 8642:127.0.0.1:8642. The daemon serves it if it is started with\n" +
			"--web 127.0.0.1:8642. Who has the URL may see what root may, and end sessions.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			w, err := a.client().Web(cmd.Context())
			if err != nil {
				return err
			}
			return printLine(a, w, "%s", w.URL)
		},
	}
}

const (
	defaultStateDir = "/var/lib/hostnat"
	defaultRunDir   = "/run/hostnat"
	defaultConfDir  = "/etc/hostnat/conf.d"

	defaultDockerDriver = "/run/docker/plugins/hostnat.sock"
)

func addDirectories(flags *pflag.FlagSet, options *daemon.Options) {
	flags.StringVar(&options.StateDir, "state-dir", defaultStateDir, "where the configuration is kept")
	flags.StringVar(&options.RunDir, "run-dir", defaultRunDir, "where the socket is made")
}

func downCommand(a *app) *cobra.Command {
	var options daemon.Options
	cmd := &cobra.Command{
		Use: "down", Short: "Remove everything from the kernel, keep the configuration", Args: positional(),
		Long: "Remove everything of hostnat from the kernel and keep the configuration, which comes back\n" +
			"with the next start of the daemon. A daemon that runs ends. Works without one too; the\n" +
			"directories are for that case.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.down(cmd, options); err != nil {
				return err
			}
			return printDone(a, "everything of hostnat is out of the kernel; the configuration is kept")
		},
	}
	addDirectories(cmd.Flags(), &options)
	return cmd
}

// down asks the daemon if there is one, as it knows best what it is doing.
func (a *app) down(cmd *cobra.Command, options daemon.Options) error {
	err := a.client().Down(cmd.Context())
	if !api.NotRunning(err) {
		return err
	}
	if err := a.needRoot("hostnat down, without a running daemon,"); err != nil {
		return err
	}
	options.Log, options.Version = slog.New(slog.NewTextHandler(a.Stderr, nil)), buildVersion()
	return daemon.Down(cmd.Context(), options)
}

func (a *app) needRoot(what string) error {
	if a.Euid == 0 {
		return nil
	}
	return &api.Error{Code: api.Denied, Message: what + " must be run as root", Hint: "use sudo"}
}

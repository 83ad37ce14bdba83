package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/bellwetherdb/bellwether/internal/demo"
)

func demoCommand() *cobra.Command {
	var o demo.Options
	var unlimited bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Start a cluster here, with Bellwether before it and a load",
		Long: `Start three plain servers as local processes in a folder of their own, let Bellwether
make a leader and followers of them, and let clients of a small shop work through it.
Shows what goes where and why until Ctrl-C, and leaves nothing behind.

The key l, or SIGUSR1, kills the leader: a follower takes over, and the old one is
started again some seconds later. The key w, or SIGUSR2, is a planned switchover.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGHUP) // the terminal was closed
			defer stop()
			o.In, o.Out, o.Version = os.Stdin, cmd.OutOrStdout(), version()
			usr := make(chan os.Signal, 1)
			signal.Notify(usr, syscall.SIGUSR1, syscall.SIGUSR2)
			defer signal.Stop(usr)
			o.Signals = usr
			if unlimited {
				o.Rate = -1
			}
			return demo.Run(ctx, o)
		},
	}
	f := cmd.Flags()
	f.DurationVar(&o.Duration, "duration", 0, "end by itself after this time, as 30s (default: run until Ctrl-C)")
	f.StringVar(&o.Dir, "dir", "", "folder to work in (default: the system's for temporary files)")
	f.IntVar(&o.Followers, "followers", 2, "number of followers")
	f.IntVar(&o.Port, "mysql-port", 0, "port that clients connect to (default 3307, or a free one where that is taken)")
	f.StringVar(&o.Server, "flavor", "mariadb", "servers to run: mariadb or mysql, or with a version as mariadb-11.8")
	f.IntVar(&o.Rate, "rate", 600, "statements per second of the load")
	f.BoolVar(&unlimited, "unlimited", false, "let the load run as fast as it can, whatever --rate says")
	f.IntVar(&o.Clients, "clients", 8, "clients of the load")
	f.BoolVar(&o.Native, "native", false, "let the servers replicate by themselves, and not Bellwether")
	f.DurationVar(&o.KillLeaderAfter, "kill-leader-after", 0, "kill the leader once after this time, as 10s (or: press l, or send SIGUSR1)")
	f.BoolVar(&o.Plain, "plain", false, "print lines of text, also on a terminal")
	return cmd
}

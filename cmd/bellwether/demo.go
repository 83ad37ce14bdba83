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
		Short: "Start a leader and followers here, with Bellwether before them and a load",
		Long: `Start a leader and followers as local processes in a folder of their own, with
Bellwether before them, and let clients of a small shop work through it. Shows what
goes where and why until Ctrl-C, and leaves nothing behind.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGHUP) // the terminal was closed
			defer stop()
			o.In, o.Out, o.Version = os.Stdin, cmd.OutOrStdout(), version()
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
	f.BoolVar(&o.Plain, "plain", false, "print lines of text, also on a terminal")
	return cmd
}

package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/bellwetherdb/bellwether/configs"
	"github.com/bellwetherdb/bellwether/internal/app"
)

func serveCommand() *cobra.Command {
	var path, addresses string
	cmd := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Run the proxy",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := configs.Load(path)
			if err != nil {
				return err
			}
			log, level := newLogger(cmd.ErrOrStderr(), &cfg.Log)
			reload := make(chan os.Signal, 1)
			signal.Notify(reload, syscall.SIGHUP)
			defer signal.Stop(reload)
			a, err := app.New(cfg, log, app.Options{
				Path: path, Level: level, AddressesFile: addresses, Version: version(), Reload: reload,
			})
			if err != nil {
				return err
			}
			return a.Run(cmd.Context())
		},
	}
	cmd.Flags().StringVarP(&path, "config", "c", "", "configuration file (YAML)")
	cmd.Flags().StringVar(&addresses, "addresses-file", "", "write the addresses that are listened on to this file, as JSON")
	_ = cmd.MarkFlagRequired("config")
	return cmd
}

func newLogger(w io.Writer, c *configs.Log) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	_ = level.UnmarshalText([]byte(c.Level))
	opts := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts)), level
	}
	return slog.New(slog.NewTextHandler(w, opts)), level
}

func checkCommand() *cobra.Command {
	var path, against string
	cmd := &cobra.Command{
		Use:   "check --config FILE [--against FILE]",
		Short: "Check a configuration, and say what a reload would change",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !configs.Check(cmd.OutOrStdout(), path, against) {
				return errSilent
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&path, "config", "c", "", "configuration file (YAML)")
	cmd.Flags().StringVar(&against, "against", "", "the configuration that runs now: print what a reload would change")
	_ = cmd.MarkFlagRequired("config")
	return cmd
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintln(cmd.OutOrStdout(), version())
		},
	}
}

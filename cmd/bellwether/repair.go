package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/bellwetherdb/bellwether/internal/admin"
)

func repairCommand() *cobra.Command {
	var address string
	cmd := &cobra.Command{
		Use:   "repair NODE",
		Short: "Let the engine make a follower equal to the leader (replication.mode: engine)",
		Long: `Let the engine make a follower equal to the leader: its tables are compared by
checksum, and what differs is copied. What it has of its own is GIVEN UP: save it
before. The follower serves no reads meanwhile; status shows how far it is.
Where the proxy has admin.password, it is taken from ` + tokenVariable + `.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), 30*time.Second)
			defer cancel()
			var v admin.RepairView
			status, err := askChange(ctx, adminURL(address)+"/v1/replication/repair", os.Getenv(tokenVariable), admin.RepairRequest{Node: args[0]}, &v)
			if err != nil {
				return fmt.Errorf("ask the proxy: %w", err)
			}
			if !v.Begun {
				if v.Error == "" {
					v.Error = http.StatusText(status)
				}
				return fmt.Errorf("repair %s: %s", args[0], v.Error)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "the repair of %s has begun\n", args[0])
			return nil
		},
	}
	cmd.Flags().StringVar(&address, "admin", "http://127.0.0.1:9307", "admin address of the proxy")
	return cmd
}

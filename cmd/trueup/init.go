package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/trueup-sync/trueup/configs"
)

func (a *app) initCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "init [FOLDER]",
		Short: "Write a commented trueup.yaml and a first flow to start from",
		Long: `init writes trueup.yaml and flows/microsoft-connectwise.yaml, commented, into a folder. It never overwrites a file. Fill in
your own values and run trueup check.`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(_ *cobra.Command, given []string) error {
			folder := "."
			if len(given) > 0 {
				folder = given[0]
			}
			files, err := fs.Glob(configs.FS, "flows/*.yaml")
			if err != nil {
				return err
			}
			files = append([]string{"trueup.yaml"}, files...)
			for _, name := range files {
				if _, err := os.Stat(filepath.Join(folder, name)); !errors.Is(err, fs.ErrNotExist) {
					return usageError{fmt.Errorf("%s is there already; init never overwrites", filepath.Join(folder, name))}
				}
			}
			for _, name := range files {
				source, err := configs.FS.ReadFile(name)
				if err != nil {
					return err
				}
				target := filepath.Join(folder, name)
				if err := os.MkdirAll(filepath.Dir(target), 0o750); err != nil {
					return fmt.Errorf("write %s: %w", target, err)
				}
				if err := os.WriteFile(target, source, 0o600); err != nil {
					return fmt.Errorf("write %s: %w", target, err)
				}
				a.say("wrote %s", target)
			}
			a.say("next: fill in your own values, then trueup -c %s check", filepath.Join(folder, "trueup.yaml"))
			return nil
		},
	}
}

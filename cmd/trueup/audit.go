package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/trueup-sync/trueup/state"
)

func (a *app) auditCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "audit",
		Short: "Export the journal, and check that it is as it was written",
	}
	var known string
	verify := &cobra.Command{
		Use:   "verify [FILE]",
		Short: "Check the chain of hashes of an exported journal, or of the state itself",
		Long: `verify recomputes the chain of hashes and names the first row that is missing, moved, cut off or not as it was written, with its line
in the file. With FILE it needs neither a configuration nor a database, so anybody can do it anywhere. A head that was noted earlier
(export and verify print it) shows what no chain can show by itself: a journal that was cut off or computed anew.`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, given []string) error {
			head, err := parseHead(known)
			if err != nil {
				return usageError{err}
			}
			if len(given) == 1 {
				return a.verifyFile(given[0], head)
			}
			s, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			found, err := s.store.VerifyJournal(c.Context())
			if err == nil && head.Seq > 0 {
				err = s.store.VerifyHead(c.Context(), head)
			}
			if err != nil {
				return err
			}
			return a.showAudit(auditJSON{Of: s.Config.File, Entries: found.Seq, Seq: found.Seq, Hash: found.Hash, Flows: []string{}})
		},
	}
	verify.Flags().StringVar(&known, "head", "", "a head that was noted earlier, SEQ:HASH; it must still be there")
	c.AddCommand(&cobra.Command{
		Use:   "export",
		Short: "Write the whole journal as JSON lines, each entry with its hash",
		Long: `export writes the journal to standard output: a first line that says what it is, a line for each entry with its hash, and a last
line with the head. It holds customers' names and amounts, and no secret. The head is also said on standard error: note it somewhere else.`,
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			head, err := s.store.ExportJournal(c.Context(), a.stdout)
			if err != nil {
				return err
			}
			a.say("%d entries; note the head elsewhere: %d:%s", head.Seq, head.Seq, head.Hash)
			return nil
		},
	}, verify)
	return c
}

// auditJSON is what audit verify prints with --json.
type auditJSON struct {
	Of       string    `json:"of"`
	Entries  int64     `json:"entries"`
	Seq      int64     `json:"head_seq"`
	Hash     string    `json:"head_hash"`
	Flows    []string  `json:"flows"`
	Tenant   string    `json:"tenant"`
	Exported time.Time `json:"exported_at,omitzero"`
}

func (a *app) verifyFile(name string, head state.Head) error {
	file, err := os.Open(name)
	if err != nil {
		return usageError{fmt.Errorf("read the exported journal: %w", err)}
	}
	defer func() { _ = file.Close() }()
	export, err := state.VerifyExport(file, head)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return a.showAudit(auditJSON{name, export.Count, export.Head.Seq, export.Head.Hash, export.Flows, export.Tenant, export.Exported})
}

func (a *app) showAudit(out auditJSON) error {
	return a.show(out, func(w io.Writer) {
		fmt.Fprintf(w, "%s: the chain holds over %d entries; head %d:%s\n", out.Of, out.Entries, out.Seq, out.Hash)
	})
}

// parseHead reads SEQ:HASH; an empty text is no head.
func parseHead(text string) (state.Head, error) {
	if text == "" {
		return state.Head{}, nil
	}
	seq, hash, ok := strings.Cut(text, ":")
	n, err := strconv.ParseInt(seq, 10, 64)
	if !ok || err != nil || n < 1 || len(hash) != 64 || strings.Trim(hash, "0123456789abcdef") != "" {
		return state.Head{}, fmt.Errorf("--head %q is not a head like 1568:9f86d0…, as export and verify print it, with all 64 digits of the hash", text)
	}
	return state.Head{Seq: n, Hash: hash}, nil
}

package configs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/trueup-sync/trueup/configs"
	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/connectwise"
	"github.com/trueup-sync/trueup/connectors/partnercenter"
	"github.com/trueup-sync/trueup/engine"
	"github.com/trueup-sync/trueup/internal/config"
	"github.com/trueup-sync/trueup/internal/vault"
)

// What a user starts from loads without a complaint, once the secrets it asks for are there, and is cautious.
func TestTheExampleLoads(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.CopyFS(dir, configs.FS); err != nil {
		t.Fatal(err)
	}
	asked := map[string]bool{}
	env := func(name string) (string, bool) {
		asked[name] = true
		return "an invented secret", true
	}
	systems := map[string]connectors.Descriptor{
		"partnercenter": partnercenter.System.Descriptor,
		"connectwise":   connectwise.System.Descriptor,
	}
	c, err := config.Load(filepath.Join(dir, "trueup.yaml"), systems, env, vault.Memory())
	if err != nil {
		t.Fatal(err)
	}
	files, err := fs.Glob(configs.FS, "flows/*.yaml")
	if err != nil || len(files) == 0 || len(c.Flows) != len(files) {
		t.Errorf("%d flows were read from %v (%v); want one from each file", len(c.Flows), files, err)
	}
	for _, f := range c.Flows {
		if f.Mode != engine.ModePropose {
			t.Errorf("flow %s starts with mode %s; an example must not write by itself", f.Name, f.Mode)
		}
	}
	for _, a := range c.Accounts {
		for name := range a.Secrets {
			if a.Settings[name] != "" {
				t.Errorf("account %s has %s among the plain settings", a.Name, name)
			}
		}
	}
	if len(asked) != 4 {
		t.Errorf("the example asks for the secrets %v; want four", asked)
	}
}

package connectwise

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/internal/rest"
)

// callbackEntry is one registration. https://developer.connectwise.com/Products/ConnectWise_PSA/REST
type callbackEntry struct {
	ID             int    `json:"id,omitempty"`
	Description    string `json:"description"`
	URL            string `json:"url"`
	ObjectID       int    `json:"objectId"`
	Type           string `json:"type"`
	Level          string `json:"level"`
	Inactive       bool   `json:"inactiveFlag"`
	SelfSuppressed bool   `json:"isSelfSuppressedFlag"`
}

// callbackTypes are what we ask to be told of. There is none for additions.
var callbackTypes = []string{"agreement", "company"}

const callbacksPath = "/system/callbacks"

// Register implements connectors.Registrar: one entry for each type, for everything of that type (level owner).
func (c *Connector) Register(ctx context.Context, r connectors.Registration) (connectors.Registered, error) {
	address := r.URL + "?id=" // the PSA appends the record's id to it
	entries, err := c.callbackEntries(ctx)
	if err != nil {
		return connectors.Registered{}, err
	}
	var steps []string
	for _, typ := range callbackTypes {
		i := slices.IndexFunc(entries, func(e callbackEntry) bool { return e.URL == address && strings.EqualFold(e.Type, typ) })
		var request rest.Request
		switch {
		case r.Remove && i >= 0:
			request = rest.Request{Method: http.MethodDelete, Path: fmt.Sprintf("%s/%d", callbacksPath, entries[i].ID)}
			steps = append(steps, fmt.Sprintf("remove the callback for %s (%d)", typ, entries[i].ID))
		case r.Remove, i >= 0 && !entries[i].Inactive:
			continue
		case i >= 0:
			request = rest.Request{Method: http.MethodPatch, Path: fmt.Sprintf("%s/%d", callbacksPath, entries[i].ID), Body: []operation{{"replace", "inactiveFlag", false}}}
			steps = append(steps, fmt.Sprintf("switch the callback for %s on again (%d)", typ, entries[i].ID))
		default:
			request = rest.Request{Method: http.MethodPost, Path: callbacksPath, Body: callbackEntry{Description: "trueup", URL: address, ObjectID: 1, Type: typ, Level: "owner", SelfSuppressed: true}}
			steps = append(steps, fmt.Sprintf("make a callback for every %s, to %s", typ, r.URL))
		}
		if r.Dry {
			continue
		}
		request.Op, request.Record = "register", "the callback for "+typ
		if _, err := c.do(ctx, request); err != nil {
			return connectors.Registered{Steps: steps}, err
		}
	}
	if !r.Dry && len(steps) > 0 {
		if entries, err = c.callbackEntries(ctx); err != nil {
			e := c.fail(connectors.ClassUnknown, "register", "callbacks", "", "they were accepted, but could not be read afterwards", "look at trueup hooks")
			e.Err = err
			return connectors.Registered{Steps: steps}, e
		}
	}
	done := connectors.Registered{Steps: steps}
	for _, e := range entries {
		done.Hooks = append(done.Hooks, connectors.Hook{ID: fmt.Sprint(e.ID), URL: strings.TrimSuffix(e.URL, "?id="), About: []string{e.Type}, Active: !e.Inactive, Ours: e.URL == address})
	}
	return done, nil
}

func (c *Connector) callbackEntries(ctx context.Context) (entries []callbackEntry, err error) {
	_, err = c.all(ctx, search{path: callbacksPath, op: "list callbacks"}, func(_ object, raw []byte) error {
		var e callbackEntry
		if err := (rest.Response{Status: http.StatusOK, Body: raw}).Decode("list callbacks", &e); err != nil {
			return err
		}
		entries = append(entries, e)
		return nil
	})
	return entries, err
}

package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

const maxBody = 1 << 20

// decodeBody reads a JSON object into a struct, strictly: unknown members, at any depth, are refused and the known ones
// named; so are repeated ones and anything after the object.
func decodeBody(r *http.Request, into any) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return refusal{http.StatusUnsupportedMediaType, "send the body as Content-Type: application/json"}
	}
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	switch {
	case err != nil:
		return refuse("the body could not be read: %v", err)
	case len(raw) > maxBody:
		return refusal{http.StatusRequestEntityTooLarge, "the body is larger than 1 MiB"}
	}
	return decodeStrict(raw, into)
}

func decodeStrict(raw []byte, into any) error {
	if !json.Valid(raw) {
		return refuse("the body is not one JSON value")
	}
	if err := known(raw, reflect.TypeOf(into).Elem(), ""); err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(into); err != nil {
		if wrong := (&json.UnmarshalTypeError{}); errors.As(err, &wrong) {
			return refuse("%s cannot be a %s", place(wrong.Field, "the body"), wrong.Value)
		}
		return refuse("the body cannot be read: %v", err)
	}
	return nil
}

func place(path, otherwise string) string {
	if path == "" {
		return otherwise
	}
	return "member " + path
}

// known checks the members of a value against the type that will hold it.
func known(raw []byte, t reflect.Type, path string) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	raw = bytes.TrimSpace(raw)
	switch {
	case t == reflect.TypeFor[json.RawMessage]() || t == reflect.TypeFor[time.Time]() || bytes.Equal(raw, []byte("null")):
		return nil
	case t.Kind() == reflect.Slice && raw[0] == '[':
		var items []json.RawMessage
		if err := json.Unmarshal(raw, &items); err != nil {
			return refuse("%s cannot be read: %v", place(path, "the body"), err)
		}
		for i, item := range items {
			if err := known(item, t.Elem(), fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
		return nil
	case t.Kind() != reflect.Struct:
		return nil // the decoder checks plain values
	case raw[0] != '{':
		return refuse("%s must be an object", place(path, "the body"))
	}
	fields := members(t)
	return eachMember(raw, func(name string, value json.RawMessage) error {
		field, ok := fields[name]
		if !ok {
			return refuse("unknown member %q%s; %s", name, inside(path), knownNames(memberNames(t)))
		}
		return known(value, field, strings.TrimPrefix(path+"."+name, "."))
	})
}

func inside(path string) string {
	if path == "" {
		return ""
	}
	return " in " + path
}

// eachMember calls f for the members of an object; one that comes twice is refused, because which of them counts is
// anybody's guess.
func eachMember(object []byte, f func(name string, value json.RawMessage) error) error {
	decoder := json.NewDecoder(bytes.NewReader(object))
	if _, err := decoder.Token(); err != nil { // the opening bracket
		return refuse("the body cannot be read: %v", err)
	}
	seen := map[string]bool{}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return refuse("the body cannot be read: %v", err)
		}
		name := fmt.Sprint(token)
		if seen[name] {
			return refuse("member %q comes twice", name)
		}
		seen[name] = true
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return refuse("member %q cannot be read: %v", name, err)
		}
		if err := f(name, value); err != nil {
			return err
		}
	}
	return nil
}

// members are the types of a struct's JSON members.
func members(t reflect.Type) map[string]reflect.Type {
	found := map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			found[name] = f.Type
		}
	}
	return found
}

// memberNames are a struct's JSON members in the order it declares them.
func memberNames(t reflect.Type) []string {
	var names []string
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			names = append(names, name)
		}
	}
	return names
}

func knownNames(names []string) string {
	switch len(names) {
	case 0:
		return "there are none"
	case 1:
		return "the only one is " + names[0]
	}
	return "known are " + strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// idText reads an id that is written as a text or as a number.
func idText(raw json.RawMessage) (string, error) {
	text := string(bytes.TrimSpace(raw))
	if unquoted, err := strconv.Unquote(text); err == nil {
		return unquoted, nil
	}
	if slices.Contains([]string{"", "null"}, text) {
		return "", nil
	}
	if _, err := strconv.Atoi(text); err != nil {
		return "", refuse("id %s is neither a text nor a whole number", text)
	}
	return text, nil
}

// wholeID reads an id of the PSA.
func wholeID(id string) (int, error) {
	n, err := strconv.Atoi(id)
	if err != nil || n <= 0 {
		return 0, refuse("ids of the psa are whole numbers, and %q is none", id)
	}
	return n, nil
}

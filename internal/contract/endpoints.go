package contract

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Endpoint is a path and the query parameters it takes. A path element written {…} stands for any one element.
type Endpoint struct {
	Path       string
	Parameters []string
	Source     string // where it is documented
}

// Endpoints is a list of what a system serves.
type Endpoints []Endpoint

// ReadEndpoints reads a list of the form {"Apis": {"GetThing": {"Path": "things/{0}", "Parameters": {"Size": "size"}}}}.
func ReadEndpoints(document []byte, source string) (Endpoints, error) {
	var listed struct {
		Apis map[string]struct {
			Path       string
			Parameters map[string]string
		}
	}
	if err := json.Unmarshal(document, &listed); err != nil {
		return nil, fmt.Errorf("read the list of endpoints: %w", err)
	}
	if len(listed.Apis) == 0 {
		return nil, fmt.Errorf("the list of endpoints is empty: %s", source)
	}
	var all Endpoints
	for name, api := range listed.Apis {
		e := Endpoint{Path: api.Path, Source: source + ", " + name}
		for _, parameter := range api.Parameters {
			e.Parameters = append(e.Parameters, parameter)
		}
		all = append(all, e)
	}
	return all, nil
}

// Check says what is not documented about a request to path (without the base of the API) with these query parameters.
// Elements of a path are compared without regard to case, a slash at either end does not count; names of parameters are compared
// exactly.
func (all Endpoints) Check(path string, parameters []string) []string {
	known, served := []string{}, false
	for _, e := range all {
		if samePath(e.Path, path) {
			served = true
			known = append(known, e.Parameters...)
		}
	}
	if !served {
		return []string{fmt.Sprintf("the path %s is not documented", path)}
	}
	var problems []string
	for _, p := range parameters {
		if !slices.Contains(known, p) {
			problems = append(problems, fmt.Sprintf("the query parameter %s of %s is not documented", p, path))
		}
	}
	slices.Sort(problems)
	return problems
}

func samePath(template, path string) bool {
	want, got := strings.Split(strings.Trim(template, "/"), "/"), strings.Split(strings.Trim(path, "/"), "/")
	return slices.EqualFunc(want, got, func(w, g string) bool {
		return strings.HasPrefix(w, "{") && g != "" || strings.EqualFold(w, g)
	})
}

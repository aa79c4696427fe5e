// Package contract compares what our connectors send, and what our stand-ins answer, with the documents that vendors
// publish. Connector and stand-in are written by the same people from the same reading; a third opinion finds what both
// got wrong.
//
// A Recorder stands between connector and stand-in and keeps every Exchange. Three kinds of document judge them:
//
//   - OpenAPI (NewOpenAPI): paths, query parameters, bodies both ways, with types, lengths and allowed words. A member that
//     the schema does not know is a fault, in a request and in an answer.
//   - Endpoints (ReadEndpoints): a list of paths with the query parameters each of them takes.
//   - Shape (SwaggerShape, TableShape): the names of members, for documents whose types cannot be relied on.
//
// The documents are not part of this repository. The checks against them stand behind the build tag "contract" and read
// them from the folder named by TRUEUP_SPECS, or ../shared/specs beside the repository; what is tested without the tag
// is the judging itself, on invented documents.
package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
)

// Exchange is one request and its answer.
type Exchange struct {
	Method   string
	Host     string
	Path     string
	Query    url.Values
	Header   http.Header
	Request  []byte
	Status   int
	Response []byte
}

func (e Exchange) String() string {
	return fmt.Sprintf("%s %s answered %d", e.Method, e.Path, e.Status)
}

// Recorder is a transport that keeps what passes through it. It is safe for use by several goroutines.
type Recorder struct {
	Next http.RoundTripper

	mu        sync.Mutex
	exchanges []Exchange
}

// RoundTrip sends the request on and keeps both bodies.
func (r *Recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	sent, err := drain(request.Body)
	if err != nil {
		return nil, fmt.Errorf("read the body of %s %s: %w", request.Method, request.URL.Path, err)
	}
	onward := request.Clone(request.Context())
	if request.Body != nil {
		onward.Body = io.NopCloser(bytes.NewReader(sent))
	}
	response, err := r.Next.RoundTrip(onward)
	if err != nil {
		return nil, err
	}
	received, err := drain(response.Body)
	if err != nil {
		return nil, fmt.Errorf("read the answer to %s %s: %w", request.Method, request.URL.Path, err)
	}
	response.Body = io.NopCloser(bytes.NewReader(received))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.exchanges = append(r.exchanges, Exchange{
		Method: request.Method, Host: request.URL.Host, Path: request.URL.Path, Query: request.URL.Query(), Header: request.Header.Clone(),
		Request: sent, Status: response.StatusCode, Response: received,
	})
	return response, nil
}

// Exchanges returns what was recorded so far, in the order in which the answers arrived.
func (r *Recorder) Exchanges() []Exchange {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.exchanges)
}

func drain(body io.ReadCloser) ([]byte, error) {
	if body == nil {
		return nil, nil
	}
	content, err := io.ReadAll(body)
	if closeErr := body.Close(); err == nil {
		err = closeErr
	}
	return content, err
}

// decode reads one JSON document, keeping numbers as they were written.
func decode(source []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(source))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	return value, nil
}

package sandbox

import (
	"bytes"
	"context"
	"net/http"
	"sync"
	"time"
)

// letter is a webhook message of one of the systems.
type letter struct {
	to     string
	header http.Header
	body   []byte
}

// mail delivers letters, a few at once, in the background. One that is not taken is sent again, as both systems do.
type mail struct {
	letters chan letter
	stop    context.CancelFunc
	carry   sync.WaitGroup
}

const (
	manyLetters = 4096 // that wait; more are lost
	carriers    = 4
	deliveries  = 10 // of one letter
)

func (m *mail) open() {
	var ctx context.Context
	ctx, m.stop = context.WithCancel(context.Background())
	m.letters = make(chan letter, manyLetters)
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: carriers, IdleConnTimeout: time.Second}}
	for range carriers {
		m.carry.Go(func() {
			defer client.CloseIdleConnections()
			for {
				select {
				case <-ctx.Done():
					return
				case l := <-m.letters:
					l.deliver(ctx, client)
				}
			}
		})
	}
}

func (m *mail) send(l letter) {
	select {
	case m.letters <- l:
	default:
	}
}

func (m *mail) close() {
	if m.stop != nil {
		m.stop()
		m.carry.Wait()
	}
}

// deliver tries until the receiver takes or refuses it; one that is too busy or not there is tried again.
func (l letter) deliver(ctx context.Context, client *http.Client) {
	for n := range deliveries {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, l.to, bytes.NewReader(l.body))
		if err != nil {
			return
		}
		request.Header = l.header.Clone()
		if response, err := client.Do(request); err == nil {
			_ = response.Body.Close()
			if response.StatusCode < http.StatusInternalServerError {
				return
			}
		}
		timer := time.NewTimer(time.Duration(n+1) * 100 * time.Millisecond)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

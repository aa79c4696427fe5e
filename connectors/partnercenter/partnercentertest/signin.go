package partnercentertest

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// unlimited marks the refresh token that has not been replaced yet.
const unlimited = -1

// graceUses is how often a replaced refresh token still works: a client that crashed before it stored the new one can
// recover once.
const graceUses = 1

// grant is an access token that was issued.
type grant struct {
	audience string
	appOnly  bool
	mfa      bool
	expires  time.Time
}

// SignIn serves the token host: the v1 endpoint with both grants. Numbers in its answers are texts, as there.
func (s *Server) SignIn() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{tenant}/oauth2/token", func(w http.ResponseWriter, r *http.Request) {
		if !s.delay(r) {
			return
		}
		if err := r.ParseForm(); err != nil {
			s.send(w, r, refused("invalid_request", "AADSTS900144: the request body could not be read."))
			return
		}
		s.mu.Lock()
		rep := s.exchange(r)
		s.mu.Unlock()
		s.send(w, r, rep)
	})
	return mux
}

func (s *Server) exchange(r *http.Request) reply {
	form := r.PostForm
	audience := form.Get("resource")
	switch {
	case !strings.EqualFold(r.PathValue("tenant"), s.opt.Tenant):
		return refused("invalid_request", fmt.Sprintf("AADSTS90002: Tenant '%s' not found.", r.PathValue("tenant")))
	case form.Get("client_id") != s.opt.ClientID:
		return refused("unauthorized_client", "AADSTS700016: Application was not found in the directory.")
	case form.Get("client_secret") != s.opt.ClientSecret:
		rep := refused("invalid_client", "AADSTS7000215: Invalid client secret provided.")
		rep.status = http.StatusUnauthorized
		return rep
	case !slices.Contains([]string{AudienceAPI, AudiencePrices}, audience):
		return refused("invalid_resource", fmt.Sprintf("AADSTS500011: The resource principal named %s was not found in the tenant.", audience))
	}
	_, noMFA := s.misbehaving["no_mfa"]
	answer := map[string]any{"token_type": "Bearer", "resource": audience}
	g := grant{audience: audience, expires: s.now().Add(s.opt.TokenLife)}
	switch form.Get("grant_type") {
	case "client_credentials":
		g.appOnly = true
	case "refresh_token":
		used := form.Get("refresh_token")
		_, revoked := s.misbehaving["revoke_refresh"]
		if left, ok := s.refresh[used]; !ok || left == 0 || revoked {
			return refused("invalid_grant", "AADSTS700082: The refresh token has expired due to inactivity.")
		} else if left > 0 {
			s.refresh[used]--
		} else {
			s.refresh[used] = graceUses
		}
		fresh := newToken("refresh")
		s.refresh[fresh] = unlimited
		answer["refresh_token"] = fresh
		g.mfa = !noMFA
	default:
		return refused("unsupported_grant_type", "AADSTS70003: The app requested an unsupported grant type.")
	}
	access := newToken("access")
	s.access[access] = g
	life := strconv.Itoa(int(s.opt.TokenLife / time.Second))
	answer["access_token"] = access
	answer["expires_in"], answer["ext_expires_in"] = life, life
	answer["expires_on"] = strconv.FormatInt(g.expires.Unix(), 10)
	answer["not_before"] = strconv.FormatInt(s.now().Unix(), 10)
	return asJSON(http.StatusOK, answer)
}

func refused(word, description string) reply {
	return asJSON(http.StatusBadRequest, map[string]any{"error": word, "error_description": description, "correlation_id": newID()})
}

// authorise finds the grant behind a request's bearer token.
func (s *Server) authorise(r *http.Request, audience string) (grant, *fault) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	g, known := s.access[token]
	switch {
	case !ok || !known || !g.expires.After(s.now()) || s.once("expire_token"):
		return grant{}, &fault{http.StatusUnauthorized, "400", "Access denied"}
	case g.audience != audience:
		return grant{}, &fault{http.StatusUnauthorized, "900420", "The audience of the token is not accepted."}
	}
	return g, nil
}

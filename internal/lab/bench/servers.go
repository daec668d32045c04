package bench

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"oauth-proxyd/internal/lab/bench/rig"
)

// server is a proxy of others, with a configuration file.
type server struct {
	name, program, file string
	args                func(file string) []string
	config              func(site) string
}

func servers() []server {
	return []server{
		{"nginx", "nginx", "nginx.conf", nginxArgs, nginx},
		{"haproxy", "haproxy", "haproxy.cfg", haproxyArgs, func(s site) string { return haproxy(s, "") }},
		{"haproxy h2", "haproxy", "haproxy.cfg", haproxyArgs, func(s site) string { return haproxy(s, " alpn h2") }},
		{"caddy", "caddy", "Caddyfile", caddyArgs, caddy},
	}
}

func (v server) starter(program string) func(context.Context, site) (*rig.Process, func(), error) {
	return func(ctx context.Context, s site) (*rig.Process, func(), error) {
		file := filepath.Join(s.dir, v.file)
		if err := os.WriteFile(file, []byte(v.config(s)), 0o644); err != nil {
			return nil, nil, err
		}
		return launch(ctx, s, append([]string{program}, v.args(file)...)...)
	}
}

func nginxArgs(file string) []string { return []string{"-c", file, "-e", "stderr"} }

// nginxHTTP2 speaks HTTP/2 to an upstream with TLS, since nginx 1.29.4.
func nginxHTTP2(s site) string {
	if !s.secure {
		return nginx(s)
	}
	return strings.Replace(nginx(s), "proxy_http_version 1.1;", "proxy_http_version 2;", 1)
}

// nginx speaks HTTP/1.1 to an upstream unless it is told otherwise.
func nginx(s site) string {
	scheme, trust := "http", ""
	if s.secure {
		scheme = "https"
		trust = fmt.Sprintf(`
			proxy_ssl_verify on;
			proxy_ssl_name %s;
			proxy_ssl_server_name on;
			proxy_ssl_protocols TLSv1.2 TLSv1.3;
			proxy_ssl_trusted_certificate %s;`, rig.ServerName, s.upstream.Authority)
	}
	return fmt.Sprintf(`
daemon off;
worker_processes %[6]d;
pid %[1]s/nginx.pid;
error_log stderr warn;
events { worker_connections 16384; }
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	keepalive_requests 1000000;
	client_max_body_size 0;
	upstream api {
		server %[2]s;
		keepalive 64;
		keepalive_requests 1000000;
	}
	server {
		listen %[3]s;
		location / {
			proxy_pass %[4]s://api;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_set_header Anthropic-Beta oauth-2025-04-20;
			proxy_buffering off;
			proxy_request_buffering off;
			proxy_read_timeout 1h;%[5]s
		}
	}
}
`, s.dir, s.target(), s.address, scheme, trust, s.workers())
}

func haproxyArgs(file string) []string { return []string{"-db", "-f", file} }

// haproxy speaks HTTP/1.1 to an upstream unless it is told otherwise, which few do; here it is
// compared both ways. Without http-no-delay it keeps the first event back for 200 ms.
func haproxy(s site, protocol string) string {
	trust := ""
	if s.secure {
		trust = fmt.Sprintf(" ssl verify required ca-file %[1]s verifyhost %[2]s sni str(%[2]s)%[3]s",
			s.upstream.Authority, rig.ServerName, protocol)
	}
	return fmt.Sprintf(`
global
	nbthread %d
	maxconn 8192
defaults
	mode http
	timeout connect 5s
	timeout client 1h
	timeout server 1h
	http-reuse always
	option http-no-delay
frontend proxy
	bind %s
	default_backend api
backend api
	http-request set-header Anthropic-Beta oauth-2025-04-20
	server api %s%s
`, s.workers(), s.address, s.target(), trust)
}

func caddyArgs(file string) []string {
	return []string{"run", "--adapter", "caddyfile", "--config", file}
}

// caddy speaks HTTP/2 to an upstream with TLS.
func caddy(s site) string {
	_, port, _ := net.SplitHostPort(s.address) // the harness made it
	trust := ""
	if s.secure {
		trust = fmt.Sprintf(`
		transport http {
			tls_trusted_ca_certs %s
			tls_server_name %s
			keepalive_idle_conns_per_host 64
		}`, s.upstream.Authority, rig.ServerName)
	} else {
		trust = `
		transport http {
			keepalive_idle_conns_per_host 64
		}`
	}
	return fmt.Sprintf(`
{
	admin off
	auto_https off
}
http://:%s {
	bind 127.0.0.1
	reverse_proxy %s {
		flush_interval -1
		header_up Anthropic-Beta oauth-2025-04-20%s
	}
}
`, port, s.url(), trust)
}

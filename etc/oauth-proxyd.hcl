# Configuration of oauth-proxyd. Settings that are not here have their defaults:
# see oauth-proxyd.hcl(5), or all settings with comments in
# /usr/share/doc/oauth-proxyd/oauth-proxyd.hcl.example. To apply a change:
#   oauth-proxyd check && systemctl reload oauth-proxyd

# Without this, Anthropic rejects the OAuth token of a subscription.
header "anthropic-beta" {
  value = "oauth-2025-04-20"
  mode  = "merge" # adds it to the client's own list
  when {
    bearer_prefix = "sk-ant-oat"
  }
}

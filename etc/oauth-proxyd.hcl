# Configuration of oauth-proxyd. What is not set here has its default: see
# oauth-proxyd.hcl(5), and /usr/share/doc/oauth-proxyd/oauth-proxyd.hcl.example
# for every setting there is. Check and apply a change:
#   oauth-proxyd check && systemctl reload oauth-proxyd

# Anthropic refuses the OAuth token of a subscription without this.
header "anthropic-beta" {
  value = "oauth-2025-04-20"
  mode  = "merge" # into the client's own list
  when {
    bearer_prefix = "sk-ant-oat"
  }
}

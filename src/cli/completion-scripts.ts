/** Scripts that make a shell ask `asynq __complete` for what may come next. */
export const COMPLETION_SCRIPTS: Readonly<Record<string, string>> = {
  bash: `# asynq completion for bash: source <(asynq completion bash)
_asynq() {
  local line="\${COMP_LINE:0:COMP_POINT}" cur head
  local -a words
  read -ra words <<<"$line"
  [[ "$line" == *[[:space:]] ]] && words+=("")
  cur="\${words[-1]}"
  mapfile -t COMPREPLY < <("\${words[0]}" __complete -- "\${words[@]:1}" 2>/dev/null)
  # Readline replaces only what stands behind the last of these.
  head="\${cur%"\${cur##*[:=]}"}"
  COMPREPLY=("\${COMPREPLY[@]#"$head"}")
  # A value is to follow: no space.
  [[ "\${COMPREPLY[*]}" == *= ]] && compopt -o nospace 2>/dev/null
  return 0
}
complete -o default -F _asynq asynq
`,
  zsh: `#compdef asynq
# asynq completion for zsh: source <(asynq completion zsh)
_asynq() {
  local -a candidates
  candidates=("\${(@f)$("\${words[1]}" __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -z "$candidates" ]]; then
    _files
  elif [[ "$candidates" == *= ]]; then
    # A value is to follow: no space.
    compadd -S '' -- "\${candidates[@]}"
  else
    compadd -- "\${candidates[@]}"
  fi
}
if [[ "$funcstack[1]" == _asynq ]]; then
  # Loaded from a folder of $fpath, at the first Tab: this is it.
  _asynq
elif (( $+functions[compdef] )); then
  compdef _asynq asynq
fi
`,
  fish: `# asynq completion for fish: asynq completion fish | source
function __asynq_complete
  set -l tokens (commandline -opc) (commandline -ct)
  set -l candidates ($tokens[1] __complete -- $tokens[2..-1] 2>/dev/null)
  if test (count $candidates) -gt 0
    printf '%s\\n' $candidates
  else
    __fish_complete_path (commandline -ct)
  end
end
complete -c asynq -f -a '(__asynq_complete)'
`,
}

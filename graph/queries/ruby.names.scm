; References. A name captured as @skip is a binding or a label, not a use; one captured as @local hides what is called so outside.

(call) @call.named
(super) @call
(superclass [(constant) (scope_resolution)] @base)
((call !receiver method: (identifier) @mixes arguments: (argument_list [(constant) (scope_resolution)] @base))
  (#match? @mixes "^(include|extend|prepend)$"))
(scope_resolution) @use.member
(constant) @use
(identifier) @name

(class name: (constant) @skip)
(module name: (constant) @skip)
(method name: (_) @skip)
(singleton_method name: (_) @skip)
(assignment left: (constant) @skip)
(method_parameters (identifier) @local)
(optional_parameter name: (identifier) @local)
(keyword_parameter name: (identifier) @local)
(splat_parameter name: (identifier) @local)
(hash_splat_parameter name: (identifier) @local)
(block_parameter name: (identifier) @local)
(block_parameters (identifier) @local)
(lambda_parameters (identifier) @local)
(assignment left: (identifier) @local)
(left_assignment_list (identifier) @local)

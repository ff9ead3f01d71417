; References. A name captured as @skip is a binding or a label, not a use; one captured as @local hides what is called so outside.

(call function: (identifier) @call)
(call function: (attribute) @call.member)
(class_definition superclasses: (argument_list [(identifier) (attribute)] @base))
(class_definition superclasses: (argument_list (subscript value: [(identifier) (attribute)] @base)))
(attribute) @member
(identifier) @name

(attribute attribute: (identifier) @skip)
(class_definition name: (identifier) @skip)
(function_definition name: (identifier) @skip)
(keyword_argument name: (identifier) @skip)
(parameters (identifier) @local)
(default_parameter name: (identifier) @local)
(typed_parameter . (identifier) @local)
(typed_default_parameter name: (identifier) @local)
(assignment left: (identifier) @local)
(import_statement (dotted_name (identifier) @skip))
(import_from_statement (dotted_name (identifier) @skip))
(relative_import (dotted_name (identifier) @skip))
(aliased_import (dotted_name (identifier) @skip))
(aliased_import alias: (identifier) @skip)
(lambda_parameters (identifier) @local)
(for_statement left: (identifier) @local)
(for_in_clause left: (identifier) @local)
(as_pattern_target (identifier) @local)

; References. A name captured as @skip is a binding or a label, not a use.

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
(parameters (identifier) @skip)
(default_parameter name: (identifier) @skip)
(typed_parameter . (identifier) @skip)
(typed_default_parameter name: (identifier) @skip)
(assignment left: (identifier) @skip)
(import_statement (dotted_name (identifier) @skip))
(import_from_statement (dotted_name (identifier) @skip))
(relative_import (dotted_name (identifier) @skip))
(aliased_import (dotted_name (identifier) @skip))
(aliased_import alias: (identifier) @skip)

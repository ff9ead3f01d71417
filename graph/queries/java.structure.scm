; Definitions, documentation, imports and the types of variables. Captures: see backstory/graph/parse.py.

(class_declaration name: (identifier) @name body: (_) @body) @class
(interface_declaration name: (identifier) @name body: (_) @body) @class
(enum_declaration name: (identifier) @name body: (_) @body) @class
(record_declaration name: (identifier) @name body: (_) @body) @class
(annotation_type_declaration name: (identifier) @name body: (_) @body) @class
(method_declaration name: (identifier) @name body: (block) @body) @function
(method_declaration name: (identifier) @name !body) @function
(constructor_declaration name: (identifier) @name body: (_) @body) @function
(compact_constructor_declaration name: (identifier) @name body: (_) @body) @function

((block_comment) @doc (#match? @doc "^/\\*\\*"))

(package_declaration [(identifier) (scoped_identifier)] @package)

(import_declaration (scoped_identifier scope: (_) @import.module name: (_) @import.name) .) @import
(import_declaration (_) @import.module (asterisk) @import.star) @import

(field_declaration type: (_) @type declarator: (variable_declarator name: (identifier) @typed.own))
(record_declaration parameters: (formal_parameters (formal_parameter type: (_) @type name: (identifier) @typed.own)))
(local_variable_declaration type: (_) @type declarator: (variable_declarator name: (identifier) @typed))
((local_variable_declaration type: (type_identifier) @var
  declarator: (variable_declarator name: (identifier) @typed value: (object_creation_expression type: (_) @type))) (#eq? @var "var"))
((local_variable_declaration type: (type_identifier) @var
  declarator: (variable_declarator name: (identifier) @typed value: (method_invocation) @made)) (#eq? @var "var"))
(formal_parameter type: (_) @type name: (identifier) @typed)
(catch_formal_parameter (catch_type . (_) @type .) name: (identifier) @typed)
(enhanced_for_statement type: (_) @type name: (identifier) @typed)
(resource type: (_) @type name: (identifier) @typed)
(instanceof_expression right: (_) @type name: (identifier) @typed)
(method_declaration type: (_) @type name: (identifier) @returns)
